"""Checks JSON against a published API: its fields, types and enums."""

import datetime
import re

from dateutil import parser

# Proto's int64: a string in JSON, but a number is accepted as well.
INT64 = {"max_concurrency", "interval_second", "pipeline_context_id", "pipeline_run_context_id"}
PLAIN: dict = {"str": str, "int": int, "float": (int, float), "bool": bool}


def mistakes(value, kind, api, where="body"):
    """Returns the mistakes of a value, one message each."""
    if kind in api["enums"]:
        allowed = api["enums"][kind]
        return [] if value in allowed else [f"{where}: {value!r} is none of {allowed}"]
    if kind in api["models"]:
        return _of_model(value, api["models"][kind], api, where)
    if match := re.fullmatch(r"list\[(.*)\]", kind):
        if not isinstance(value, list):
            return [f"{where}: {value!r} is no list"]
        each = (mistakes(v, match[1], api, f"{where}[{i}]") for i, v in enumerate(value))
        return [problem for problems in each for problem in problems]
    if match := re.fullmatch(r"dict\(str, (.*)\)", kind):
        if not isinstance(value, dict):
            return [f"{where}: {value!r} is no object"]
        each = (mistakes(v, match[1], api, f"{where}.{k}") for k, v in value.items())
        return [problem for problems in each for problem in problems]
    if kind == "datetime":
        return [] if _is_time(value) else [f"{where}: {value!r} is no time"]
    if kind == "object":
        return []
    fits = isinstance(value, PLAIN[kind]) and (kind == "bool") == isinstance(value, bool)
    if kind == "str" and where.rpartition(".")[2] in INT64:
        fits = (isinstance(value, int) and value is not True) or str(value).isdigit()
    return [] if fits else [f"{where}: {value!r} is no {kind}"]


def _of_model(value, fields, api, where):
    if not isinstance(value, dict):
        return [f"{where}: {value!r} is no object"]
    problems = [f"{where}: unknown field {name!r}" for name in value if name not in fields]
    for name, kind in fields.items():
        if name in value:
            problems += mistakes(value[name], kind, api, f"{where}.{name}")
    return problems


def _is_time(value):
    try:
        return isinstance(parser.isoparse(value), datetime.datetime)
    except (TypeError, ValueError):
        return False
