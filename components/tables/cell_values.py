"""Rules for numbers and missing values in the fields of a table, shared by all readers.

A whole number is written as digits with an optional sign, or with a decimal point or exponent if
its value is whole. Other numbers are written as in Python and C, but without underscores, digits of
other scripts or hexadecimal. Spaces and tabs around a number are ignored. `nan` is a missing
number. Where a number is expected, `true` and `false` are 1 and 0.
"""

import decimal
import functools
import math
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.tables.column_kinds import Held, Kind

EXACT_IN_DOUBLES = 2.0**53
"""Below this, 64-bit floats represent every whole number exactly."""

EXACT_IN_FLOATS = 2**24
"""Up to this, 32-bit floats represent every whole number exactly."""
_INT64 = range(-(2**63), 2**63)
_WHOLE = r"[ \t]*[+-]?[0-9]+[ \t]*"
_NUMBER = r"[ \t]*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*"
_NAN = r"(?i)[ \t]*[+-]?nan[ \t]*"
_INFINITE = r"(?i)[ \t]*[+-]?inf(?:inity)?[ \t]*"
_TRUE, _FALSE = r"(?i)[ \t]*true[ \t]*", r"(?i)[ \t]*false[ \t]*"
_FEW = 64
"""Values of a column that are looked at first, since most fractions are found there."""
_LONGEST = 4000
"""Length from which a text is not converted to an `int`; Python's own limit is 4300 digits."""


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.ASCII)


_IS_WHOLE, _IS_NUMBER, _IS_NAN = _pattern(_WHOLE), _pattern(_NUMBER), _pattern(_NAN)
_IS_INFINITE, _IS_TRUE, _IS_FALSE = _pattern(_INFINITE), _pattern(_TRUE), _pattern(_FALSE)


class NotANumber(ValueError):
    """A text is not a number of the expected kind; the message is the text."""


def parse_number(text: str, kind: Kind) -> int | float | None:
    """Parses the text of a field as a number; returns None if it is missing.

    Raises:
        NotANumber: the text is not a number of the kind.
    """
    if not text or _IS_NAN.fullmatch(text):
        return None
    if _IS_TRUE.fullmatch(text) or _IS_FALSE.fullmatch(text):
        return int(bool(_IS_TRUE.fullmatch(text)))
    value = _whole(text) if kind == Kind.INT else _float(text)
    if value is None:
        raise NotANumber(text)
    return value


def held(text: str) -> Held:
    """Classifies a value of a column."""
    if not text or _IS_NAN.fullmatch(text):
        return Held.NOTHING
    if _IS_WHOLE.fullmatch(text):
        whole = _whole(text)
        # A number beyond 64 bits is an identifier, which a float would round.
        return Held.TEXT if whole is None else Held.WHOLE | _large(whole)
    value = _float(text)
    if value is None:
        return Held.TEXT
    whole = _whole(text)
    return Held.FRACTION | _large(value) if whole is None else Held.POINT | _large(whole)


def held_class(text: str) -> Held:
    """Classifies a value of a column of classes, which keep their spelling."""
    if held(text) == Held.NOTHING:
        return Held.NOTHING
    whole = _whole(text)
    return Held.WHOLE if whole is not None and str(whole) == text else Held.TEXT


def _large(value: float) -> Held:
    if abs(value) <= EXACT_IN_FLOATS or math.isinf(value):
        return Held.NOTHING
    if abs(value) >= EXACT_IN_DOUBLES:
        return Held.LARGE
    with np.errstate(over="ignore"):
        single = float(np.float32(value))
    return Held.NOTHING if single == value else Held.LARGE


def _float(text: str) -> float | None:
    if _IS_NUMBER.fullmatch(text) or _IS_INFINITE.fullmatch(text):
        return float(text)
    return None


def _whole(text: str) -> int | None:
    if _IS_WHOLE.fullmatch(text):
        integer = int(text) if len(text) < _LONGEST else None
        return integer if integer in _INT64 else None
    if not _IS_NUMBER.fullmatch(text):
        return None
    value = float(text)
    if abs(value) < EXACT_IN_DOUBLES:
        return int(value) if value.is_integer() else None
    if abs(value) > 2.0**64:
        return None
    exact = decimal.Decimal(text.strip())
    return int(exact) if exact == exact.to_integral_value() and int(exact) in _INT64 else None


def held_by(column: pa.Array) -> Held:
    """Returns what a column of numbers holds, ignoring null and NaN."""
    column = column.drop_null()
    if not len(column):
        return Held.NOTHING
    if pa.types.is_integer(column.type):
        return Held.WHOLE | _large_in(column)
    flags = _fractions_and_points(column[:_FEW])
    # Once there is a fraction, it does not matter whether other numbers are whole.
    if Held.FRACTION not in flags:
        flags = _fractions_and_points(column)
    return flags and flags | _large_in(column)


def _fractions_and_points(column: pa.Array) -> Held:
    numbers = column.to_numpy().astype(np.float64, copy=False)
    numbers = numbers[~np.isnan(numbers)]
    whole = (np.floor(numbers) == numbers) & (np.abs(numbers) < 2.0**63)
    flags = Held.NOTHING if whole.all() else Held.FRACTION
    return flags | Held.POINT if whole.any() else flags


def _large_in(column: pa.Array) -> Held:
    if pa.types.is_floating(column.type):
        column = column.filter(pc.is_finite(column))
    if not len(column):
        return Held.NOTHING
    ends = pc.min_max(column).as_py()
    most = max(abs(ends["min"]), abs(ends["max"]))
    if most <= EXACT_IN_FLOATS:
        return Held.NOTHING
    if most >= EXACT_IN_DOUBLES:
        return Held.LARGE
    numbers = column.to_numpy()
    with np.errstate(over="ignore"):
        large = (numbers.astype(np.float32) != numbers) & (np.abs(numbers) > EXACT_IN_FLOATS)
    return Held.LARGE if large.any() else Held.NOTHING


def arrow_numbers(texts: pa.Array, kind: Kind) -> pa.Array | None:
    """Parses a column of strings by Arrow; returns None if a value needs `parse_number`."""
    canonical = pc.ascii_trim(texts, " \t")
    canonical = pc.if_else(_matches(canonical, _NAN), pa.scalar(None, pa.string()), canonical)
    canonical = pc.replace_substring_regex(canonical, r"^\+([0-9.iI])", r"\1")
    canonical = pc.if_else(_matches(canonical, _TRUE), "1", canonical)
    canonical = pc.if_else(_matches(canonical, _FALSE), "0", canonical)
    if kind == Kind.INT:
        canonical = pc.replace_substring_regex(canonical, r"^(-?[0-9]+)\.0*$", r"\1")
        parseable = _matches(canonical, "-?[0-9]+")
    else:
        parseable = pc.or_(_matches(canonical, _NUMBER), _matches(canonical, _INFINITE))
    if not pc.all(parseable, min_count=0).as_py():
        return None
    try:
        return canonical.cast(pa.int64() if kind == Kind.INT else pa.float64())
    except pa.ArrowInvalid:
        return None


def parse_numbers(texts: pa.Array, kind: Kind) -> pa.Array:
    """Parses a column of strings as numbers.

    Raises:
        NotANumber: a text is not a number of the kind.
    """
    parsed = arrow_numbers(texts, kind)
    if parsed is not None:
        return parsed
    values = [text and parse_number(text, kind) for text in texts.to_pylist()]
    return pa.array(values, pa.int64() if kind == Kind.INT else pa.float64())


def _matches(texts: pa.Array, pattern: str) -> pa.BooleanArray:
    return pc.match_substring_regex(texts, _anchored(pattern))


@functools.cache
def _anchored(pattern: str) -> str:
    flags = "(?i)" if pattern.startswith("(?i)") else ""
    return f"{flags}^(?:{pattern.removeprefix(flags)})$"
