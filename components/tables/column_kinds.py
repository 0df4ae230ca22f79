"""Kinds of columns, how they follow from the values in a column, and conversion to features."""

import enum
from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa


class Kind(enum.IntEnum):
    """The type of the feature that a column becomes."""

    UNKNOWN = 0
    """Nothing but missing values."""
    INT = 1
    FLOAT = 2
    BYTES = 3


Kinds = Mapping[str, Kind]


class Held(enum.IntFlag):
    """The sorts of values that a column holds; for a whole column, the union over its parts."""

    NOTHING = 0
    WHOLE = 1
    """Whole numbers, written without a decimal point or exponent."""
    POINT = 2
    """Whole numbers, written with a decimal point or an exponent."""
    FRACTION = 4
    LARGE = 8
    """Numbers beyond 2**24 that a 32-bit float may round."""
    TEXT = 16

    @classmethod
    def by(cls, kind: Kind) -> "Held":
        """Returns what a column of a known kind holds."""
        return _HELD[kind]

    @property
    def kind(self) -> Kind:
        """The kind of a column with these values.

        Whole numbers with a decimal point are floats, since the next table may have fractions,
        unless a 32-bit float would round them, as with `1600000001.0`.
        """
        if Held.TEXT in self:
            return Kind.BYTES
        if Held.FRACTION in self:
            return Kind.FLOAT
        if Held.POINT in self:
            return Kind.INT if Held.LARGE in self else Kind.FLOAT
        return Kind.INT if Held.WHOLE in self else Kind.UNKNOWN


EXPECTED = {Kind.INT: "a whole number", Kind.FLOAT: "a number"}
"""What a message says is expected in a column of numbers."""

_HELD = {
    Kind.UNKNOWN: Held.NOTHING,
    Kind.INT: Held.WHOLE,
    Kind.FLOAT: Held.FRACTION,
    Kind.BYTES: Held.TEXT,
}


def merge(parts: Iterable[Mapping[str, Held]]) -> dict[str, Held]:
    """Returns what whole columns hold, from what their parts hold."""
    merged: dict[str, Held] = {}
    for part in parts:
        for name, held in part.items():
            merged[name] = merged.get(name, Held.NOTHING) | held
    return merged


def kinds(columns: Mapping[str, Held]) -> dict[str, Kind]:
    """Returns the kinds of columns."""
    return {name: held.kind for name, held in columns.items()}


def notes(columns: Mapping[str, Held]) -> list[str]:
    """Returns notes for the user on how columns with large numbers are read, one line each."""
    lines = []
    for name, held in columns.items():
        if Held.TEXT in held or Held.LARGE not in held:
            continue
        if Held.FRACTION in held:
            lines.append(
                f"column {name} holds numbers beyond 16,777,216 and fractions; they are "
                "rounded to 32 bits"
            )
        elif Held.POINT in held:
            lines.append(
                f"column {name} holds whole numbers with a decimal point that 32 bits would round; "
                "they are read as whole numbers"
            )
    return lines


def lists(column: pa.Array) -> pa.LargeListArray:
    """Returns a list for each row, with its value, or empty where it is null."""
    ends = np.cumsum(column.is_valid().to_numpy(zero_copy_only=False))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, column.drop_null())


def floats(column: pa.Array) -> pa.Array:
    """Converts numbers to 32-bit floats, rounded as in protobuf; too large ones become infinite.

    NaN becomes null, since Polars, Spark and NumPy write missing numbers as NaN.
    """
    with np.errstate(over="ignore"):
        numbers = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float32)
    missing = column.is_null().to_numpy(zero_copy_only=False) | np.isnan(numbers)
    return pa.array(numbers, mask=missing)


def feature(column: pa.Array, kind: Kind) -> pa.Array:
    """Returns the feature of a kind: a list for each row, see `lists`; nulls if it is unknown."""
    if kind == Kind.UNKNOWN:
        return pa.nulls(len(column))
    if kind == Kind.FLOAT:
        column = floats(column)
    return lists(column.cast(pa.large_binary()) if kind == Kind.BYTES else column)
