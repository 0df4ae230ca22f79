"""How the text of a table is read as truth values and dates, and how numeric classes are named.

The patterns use the RE2 syntax that TensorFlow and Arrow share, so the graph of an exported model
and the checks of a table agree on every value.
"""

import math
import re
from collections.abc import Collection

TRUE = r"(?i)\s*(?:true|t|yes|y|on|1(?:\.0*)?)\s*"
"""Pattern that fully matches text that means true."""

FALSE = r"(?i)\s*(?:false|f|no|n|off|0(?:\.0*)?)\s*"
"""Pattern that fully matches text that means false."""

TRUTHS = "true/false, yes/no, on/off, t/f, y/n or 1/0"
"""`TRUE` and `FALSE` in words."""

_SPELLINGS = {"true": "false", "True": "False", "TRUE": "FALSE"}
"""Spellings of true and the matching false in JSON and Spark, in pandas, and in Excel and R."""


def spelling_of_truths(texts: Collection[str]) -> tuple[str, str] | None:
    """Returns how a column with these texts spells true and false, such as `("True", "False")`.

    Returns None if a text is neither, or if either has several spellings; such a column holds
    categories.
    """
    true = [word for word in _SPELLINGS if word in texts]
    false = [word for word in _SPELLINGS.values() if word in texts]
    if len({*texts}) != len(true) + len(false) or not texts or max(len(true), len(false)) > 1:
        return None
    beside = next(word for word in _SPELLINGS if word in true or _SPELLINGS[word] in false)
    return (true or [beside])[0], (false or [_SPELLINGS[beside]])[0]


def is_plain_truth(true: str, false: str) -> bool:
    """Returns whether `TRUE` and `FALSE` match a schema's words for true and false."""
    return bool(re.fullmatch(TRUE, true) and re.fullmatch(FALSE, false))


_MONTH, _DAY = r"(0?[1-9]|1[0-2])", r"(0?[1-9]|[12][0-9]|3[01])"
_COMPACT = r"([0-9]{4})(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])(?:[0-9]{4}|[0-9]{6})?"

DATE = rf"\s*(?:([0-9]{{4}})[-/.]{_MONTH}[-/.]{_DAY}|{_COMPACT})(?:[^0-9](?s:.*))?"
"""Pattern of text that begins with a date: `2014-10-13`, `2014/1/5 08:30`, `20141013`.

A date without separators may be followed by a time without separators, as in `20141013083000`. Ten
digits are not a date, since they are usually seconds since 1970.
"""

DATE_YEAR, DATE_MONTH, DATE_DAY = r"\1\4", r"\2\5", r"\3\6"
"""Rewrites that extract a part of the date from a match of `DATE`."""

DATES = "year, month and day, such as 2014-10-13, 2014/1/5 or 20141013"
"""`DATE` in words."""

MOST_DIGITS_OF_A_CLASS = 6
"""Number of significant digits in the name of a fractional class."""

WHOLE_CLASSES_BELOW = 2.0**24
"""Bound below which 32-bit floats hold every whole number, so class names give all digits."""


def class_of_number(value: float) -> str:
    """Returns the name of the class of a float label, such as `0.5` or `1.0`.

    `preprocessing` does the same in the graph.
    """
    if math.isfinite(value) and value == int(value) and abs(value) < WHOLE_CLASSES_BELOW:
        return f"{int(value)}.0"
    return f"{value:.{MOST_DIGITS_OF_A_CLASS}g}"
