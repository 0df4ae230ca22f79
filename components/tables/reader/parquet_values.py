"""Conversion of the values in Parquet files to features, to text and to plain columns.

TFX's own executor writes every zero and false as a missing value. Here, whole numbers and booleans
become int64, other numbers float, and text, dates and times bytes (`2014-10-13`,
`2014-10-13 08:30:00.000`; with a time zone, the local time and its offset). Lists become lists of
these types. Decimals of scale 0 are whole numbers. NaN is missing, like null.
"""

import json
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.tables import cell_values, column_kinds, table
from components.tables.column_kinds import Held, Kind, Kinds
from components.tables.table import BadTable

_FEATURES = {Kind.INT: pa.int64(), Kind.FLOAT: pa.float32(), Kind.BYTES: pa.large_binary()}
_EXPECTED = {Kind.INT: "whole numbers", Kind.FLOAT: "numbers", Kind.BYTES: "text"}


def features(
    batch: pa.RecordBatch, kinds: Kinds, file: str, missing: Sequence[str] = ()
) -> pa.RecordBatch:
    """Converts the columns of a batch to lists of feature values, empty for a missing value.

    Args:
        batch: the columns as read from the file.
        kinds: kinds of the columns to convert.
        file: path of the file, for messages.
        missing: words that mark a missing value.

    Raises:
        BadTable: a list has a null in it, or a value does not fit the column's kind.
    """
    columns = {}
    for name, kind in kinds.items():
        try:
            columns[name] = _lists(name, plain(batch.column(name)), kind, file, missing)
        except _Unfit as error:
            raise BadTable(
                f"{file}: {name}: found {error}, expected {_EXPECTED[kind]}; convert the column"
            ) from None
    return pa.RecordBatch.from_pydict(columns)


class _Unfit(Exception):
    """A column's values are not of the expected kind; the message says what they are."""


def is_list(kind: pa.DataType) -> bool:
    """Returns whether values of a type are lists."""
    of_lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in of_lists)


def inner_type(kind: pa.DataType) -> pa.DataType:
    """Returns the type of the values in a list, a dictionary or a list of dictionary values."""
    inner = kind.value_type if is_list(kind) or pa.types.is_dictionary(kind) else kind
    return inner.value_type if pa.types.is_dictionary(inner) else inner


def plain(column: pa.Array) -> pa.Array:
    """Decodes a dictionary column to its values, which Arrow can convert."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _lists(name: str, column: pa.Array, kind: Kind, file: str, missing: Sequence[str]) -> pa.Array:
    """Converts a column to a list per row, of its values or one value; empty or null if none."""
    if kind == Kind.UNKNOWN:
        return pa.nulls(len(column))
    if pa.types.is_null(column.type):
        column = column.cast(_FEATURES[kind])
    if not is_list(column.type):
        return column_kinds.lists(_values(column, kind, missing))
    inner = plain(column.drop_null().flatten())
    if inner.null_count:
        raise BadTable(f"{file}: {name}: found a null in a list; remove it")
    if kind == Kind.FLOAT:
        # In a list, NaN marks the position of a missing number.
        doubles = _doubles(inner).to_numpy(zero_copy_only=False)
        with np.errstate(over="ignore"):
            inner = pa.array(doubles.astype(np.float32))
    else:
        inner = _values(inner, kind, ())
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
    lists = pa.LargeListArray.from_arrays(offsets, inner)
    # A schema recognizes lists only if none is empty, so an empty list becomes a missing value.
    return pc.if_else(pa.array(lengths > 0), lists, pa.scalar(None, lists.type))


def _values(column: pa.Array, kind: Kind, missing: Sequence[str]) -> pa.Array:
    if kind == Kind.INT:
        return _whole_numbers(column, missing)
    if kind == Kind.FLOAT:
        return column_kinds.floats(_doubles(column, missing))
    if pa.types.is_floating(column.type):
        raise _Unfit("fractional numbers")
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return without(column.cast(pa.large_binary()), [word.encode() for word in missing])
    return without(texts_of(column), missing).cast(pa.large_binary())


def _whole_numbers(column: pa.Array, missing: Sequence[str]) -> pa.Array:
    if _is_text(column.type):
        return _numbers(column, Kind.INT, missing)
    if pa.types.is_temporal(column.type):
        raise _Unfit(f"dates or times ({column.type})")
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise _Unfit(f"other values ({error})") from None


def _doubles(column: pa.Array, missing: Sequence[str] = ()) -> pa.Array:
    if _is_text(column.type):
        return _numbers(column, Kind.FLOAT, missing)
    if pa.types.is_temporal(column.type):
        raise _Unfit(f"dates or times ({column.type})")
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    # 64-bit whole numbers are rounded, as in CSV.
    return column.cast(pa.float64(), safe=False)


def _numbers(column: pa.Array, kind: Kind, missing: Sequence[str]) -> pa.Array:
    """Parses texts as numbers by the rules for CSV."""
    try:
        return cell_values.parse_numbers(without(texts_of(column), ["", *missing]), kind)
    except cell_values.NotANumber as error:
        raise _Unfit(table.shown(str(error))) from None


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return any(test(kind) for test in (*tests, pa.types.is_large_binary))


def without(column: pa.Array, words: Sequence) -> pa.Array:
    """Replaces some words in a column of texts by null."""
    if not words:
        return column
    matches = pc.is_in(column, pa.array(words, column.type))
    return pc.if_else(matches, pa.scalar(None, column.type), column)


def texts_of(column: pa.Array) -> pa.StringArray:
    """Converts values to text: times with a zone to local time with its offset, lists to JSON."""
    if is_list(column.type):
        lists = [None if v is None else json.dumps(v) for v in column.to_pylist()]
        return pa.array(lists, pa.string())
    if pa.types.is_timestamp(column.type) and column.type.tz:
        return pc.strftime(column, format="%Y-%m-%d %H:%M:%S%z").cast(pa.string())
    if pa.types.is_decimal(column.type) or pa.types.is_floating(column.type):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
    return column.cast(pa.string())


def scanned(column: pa.Array, kind: Kind, as_text: bool) -> pa.Array:
    """Converts a column as `features` does, but in full precision and with lists unchanged."""
    if is_list(column.type) or pa.types.is_null(column.type):
        return column
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int64())
    if as_text or kind == Kind.BYTES:
        return texts_of(column)
    if pa.types.is_integer(column.type):
        return column.cast(pa.int64())
    if pa.types.is_decimal(column.type):
        return column.cast(_FEATURES[kind] if kind == Kind.INT else pa.float64())
    return column


def held_by(column: pa.Array) -> Held:
    """Returns what a column of numbers holds, including decimals and unsigned numbers."""
    if not pa.types.is_decimal(column.type) and not pa.types.is_uint64(column.type):
        return cell_values.held_by(column)
    if column.null_count == len(column):
        return Held.NOTHING
    written = (
        Held.WHOLE if pa.types.is_uint64(column.type) or column.type.scale <= 0 else Held.POINT
    )
    try:
        whole = cell_values.held_by(column.cast(pa.int64()))
    except pa.ArrowInvalid:
        if written == Held.WHOLE:  # beyond 64 bits: as in CSV, an identifier
            return Held.TEXT
        return cell_values.held_by(column.cast(pa.float64())) | Held.FRACTION
    return written | (whole & Held.LARGE)
