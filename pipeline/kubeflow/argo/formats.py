"""The forms of names, amounts and images that Kubernetes and Argo accept."""

import decimal
import re
from typing import Any

from pipeline.config.yaml_file import shown

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_QUALIFIED = r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
_PART = r"[a-z0-9]+((\.|__?|-+)[a-z0-9]+)*"
_HOST = r"[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?(:\d+)?"

SUBDOMAIN = (
    rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*",
    "an object's name: lower-case letters, digits, - and .",
)
DNS_LABEL = (rf"(?=.{{1,63}}\Z){_LABEL}", "at most 63 lower-case letters, digits and -")
GENERATED = (
    r"(?=.{1,58}\Z)[a-z0-9]([-a-z0-9]*\.?)*",
    "the beginning of a name: at most 58 lower-case letters, digits and -",
)
LABEL_KEY = (
    rf"((?=[^/]{{1,253}}/){_LABEL}(\.{_LABEL})*/)?{_QUALIFIED}",
    "a label's key, such as team or example.com/team",
)
LABEL_VALUE = (rf"({_QUALIFIED})?", "at most 63 letters, digits, - _ and .")
ARGO_NAME = (
    r"(?=.{1,128}\Z)[A-Za-z0-9][-A-Za-z0-9]*",
    "at most 128 letters, digits and -",
)
TASK = (r"(?=.{1,128}\Z)[A-Za-z][-A-Za-z0-9]*", "letters, digits and -, a letter first")
PARAMETER = (r"[-A-Za-z0-9_]+", "letters, digits, - and _")
VARIABLE = (r"[-._A-Za-z][-._A-Za-z0-9]*", "a variable's name: letters, digits and _")
KEY = (r"[-._A-Za-z0-9]{1,253}", "a key of letters, digits, - _ and .")
ABSOLUTE = (r"/(?!.*(^|/)\.\.(/|$))[^:]*", "an absolute path without .. and :")
RELATIVE = (r"(?!/)(?!(.*/)?\.\.(/|$)).*", "a relative path without ..")
DURATION = (
    r"\d+|(\d+(\.\d+)?(ns|us|ms|s|m|h))+",
    "seconds, or a time such as 30s, 5m or 1h30m",
)
IMAGE = (
    rf"({_HOST}/)?{_PART}(/{_PART})*(:(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(@(?P<digest>sha256:[0-9a-f]{64}))?",
    "an image, such as registry.example.com/houses:1.0",
)
_QUANTITY = re.compile(
    r"(?P<number>[+-]?(\d+\.?\d*|\.\d+))(?P<suffix>[KMGTPE]i|[munkMGTPE]|[eE][+-]?\d+)?"
)
_SUFFIXES = {"": 0, "n": -3, "u": -2, "m": -1, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}
_BINARY = "KMGTPE"


def fits(text: Any, form: tuple[str, str]) -> bool:
    """Returns whether a value is text that matches a form."""
    return isinstance(text, str) and re.fullmatch(form[0], text) is not None


def wrong(location: str, text: Any, form: tuple[str, str]) -> list[str]:
    """Returns the problem if text does not match a form; ignores text with a variable in it."""
    if fits(text, form) or (isinstance(text, str) and "{{" in text):
        return []
    return [f"{location}: found {shown(text)}, expected {form[1]}"]


def amount(value: Any) -> decimal.Decimal | None:
    """Returns the value of a quantity; None if it is not one."""
    match = _QUANTITY.fullmatch(str(value))
    if not match:
        return None
    number, suffix = decimal.Decimal(match["number"]), match["suffix"] or ""
    if suffix.endswith("i"):
        return number * 1024 ** (_BINARY.index(suffix[0]) + 1)
    if suffix in _SUFFIXES:
        return number.scaleb(3 * _SUFFIXES[suffix])
    return number.scaleb(int(suffix[1:]))
