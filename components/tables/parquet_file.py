"""Parquet files, read a few row groups at a time.

TFX's own executor writes every zero and false as a missing value. Here, whole numbers and booleans
become int64, other numbers float, and text, dates and times bytes (`2014-10-13`,
`2014-10-13 08:30:00.000`; with a time zone, the local time and its offset). Lists become lists of
these types. Decimals of scale 0 are whole numbers. NaN is missing, like null. The row index that
pandas adds is left out.
"""

import collections
import dataclasses
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from components.tables import cell_values, table
from components.tables import table_files as files_lib
from components.tables.table import (
    BadTable,
    Held,
    Kind,
    Kinds,
    Piece,
    Reading,
    Rows,
    Scan,
    TextRows,
)

_MOST_ROWS = 1 << 15
_FEATURES = {Kind.INT: pa.int64(), Kind.FLOAT: pa.float32(), Kind.BYTES: pa.large_binary()}
_EXPECTED = {Kind.INT: "whole numbers", Kind.FLOAT: "numbers", Kind.BYTES: "text"}
_ROW_INDEX = re.compile(r"__index_level_\d+__")
_EXACT_IN_FLOATS = 2**24


@dataclasses.dataclass(frozen=True)
class ParquetSource:
    """Parquet files with the same columns.

    Attributes:
        held: what each column holds, by its type.
        uncertain: columns whose kind depends on their values.
        dates: columns of dates, and of times with a date.
        missing: see `table.Reading`.
        block_bytes: how much of a file is read at once.
        notes: what was decided for the user, one line each.
    """

    held: Mapping[str, Held]
    uncertain: frozenset[str]
    dates: frozenset[str]
    missing: tuple[str, ...]
    block_bytes: int
    notes: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.held)

    @property
    def kinds(self) -> Kinds | None:
        """See `table.Source`."""
        return None if self.uncertain else table.kinds(self.held)

    def pieces(self, file: str, split: int) -> Iterator[Piece]:
        """Yields runs of row groups, each at least as large as a block, but for the last."""
        if files_lib.is_empty(file):
            return
        with files_lib.open_file(file) as opened:
            metadata = pa.parquet.ParquetFile(opened).metadata
            groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        start = rows = size = piece_index = first = 0
        for index, group in enumerate(groups):
            rows += group.num_rows
            size += group.total_byte_size
            if size >= self.block_bytes or index + 1 == len(groups):
                if rows:
                    yield Piece(file, split, piece_index, start, index + 1, size, first + 1, rows)
                    piece_index, first = piece_index + 1, first + rows
                start, rows, size = index + 1, 0, 0

    def infer(self, piece: Piece) -> tuple[dict[str, Held], None]:
        """See `table.Source`; only reads columns whose type does not determine their kind."""
        held = {name: flags for name, flags in self.held.items() if name not in self.uncertain}
        for batch in self._batches(piece, sorted(self.uncertain)):
            for name in self.uncertain:
                column = _plain(batch.column(name))
                held[name] = held.get(name, Held.NOTHING) | _held_by(column)
        return held, None

    def read(self, piece: Piece, kinds: Kinds) -> Iterator[Rows]:
        """See `table.Source`.

        Raises:
            BadTable: a list has a null in it, or a value does not fit the column's kind.
        """
        for batch in self._batches(piece, list(kinds)):
            yield Rows(batch.num_rows, features(batch, kinds, piece.file, self.missing))

    def read_with_text(self, piece: Piece, kinds: Kinds) -> Iterator[TextRows]:
        """See `table.Source`."""
        start = 0
        for batch in self._batches(piece, list(self.names)):
            rows = Rows(batch.num_rows, features(batch, kinds, piece.file, self.missing))
            texts = [texts_of(_plain(batch.column(name))) for name in self.names]
            yield TextRows(rows, texts, _RowNumbers(piece.file, piece.line - 1 + start))
            start += batch.num_rows

    def _batches(self, piece: Piece, names: Sequence[str]) -> Iterator[pa.RecordBatch]:
        assert piece.end is not None
        with files_lib.open_file(piece.file) as opened:
            file = pa.parquet.ParquetFile(opened)
            groups = range(piece.start, piece.end)
            size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
            most = max(1, int(self.block_bytes * (piece.rows or 1) / max(size, 1)))
            yield from file.iter_batches(min(most, _MOST_ROWS), groups, names, use_threads=False)

    def scan(self, file: str, texts: Collection[str]) -> Iterator[Scan]:
        """See `table.TableSource`."""
        start = 0
        if files_lib.is_empty(file):
            return
        with files_lib.open_file(file) as opened:
            for batch in pa.parquet.ParquetFile(opened).iter_batches(
                _MOST_ROWS, columns=self.names
            ):
                held, columns = dict(self.held), {}
                for name in self.names:
                    column = _plain(batch.column(name))
                    if name in self.uncertain:
                        held[name] = _held_by(column)
                    try:
                        columns[name] = _scanned(column, held[name].kind, name in texts)
                    except pa.ArrowInvalid:
                        raise BadTable(
                            f"{file}: {name}: found bytes that are not UTF-8 text; write the "
                            "column as text, or leave it out of the file"
                        ) from None
                    if pa.types.is_string(columns[name].type):
                        columns[name] = _without(columns[name], self.missing)
                yield Scan(held, columns, (), _RowNumbers(file, start))
                start += batch.num_rows


@dataclasses.dataclass(frozen=True)
class _RowNumbers:
    """Callable that returns the place of a row of a batch: `houses.parquet: row 12`."""

    file: str
    start: int

    def __call__(self, row: int) -> str:
        """Returns the place of the row with an index."""
        return f"{self.file}: row {self.start + row + 1}"


def _scanned(column: pa.Array, kind: Kind, as_text: bool) -> pa.Array:
    """Converts a column as `features` does, but in full precision and with lists unchanged."""
    if _is_list(column.type) or pa.types.is_null(column.type):
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


def open_source(files: Sequence[str], reading: Reading, block_bytes: int) -> ParquetSource:
    """Checks the columns of all files but empty ones, and returns their source.

    Raises:
        BadTable: a file is not Parquet or is damaged, the files do not have the same columns, or a
            column has an unsupported type.
    """
    columns: dict[str, _Column] = {}
    first = ""
    notes: dict[str, None] = {}
    for file in files:
        files_lib.check_kind(file, "parquet")
        if files_lib.is_empty(file):
            continue
        file_columns = _columns(file, notes)
        first = first or file
        for name in columns.keys() ^ file_columns.keys() if columns else ():
            where, other = (file, first) if name in file_columns else (first, file)
            raise BadTable(f"{other}: has no column {name}, as {where} has; give all the same")
        if not columns:
            columns = file_columns
        columns = {
            name: earlier.joined(name, file_columns[name], file, first)
            for name, earlier in columns.items()
        }
    if not columns:
        raise BadTable(f"{files[0]}: is empty; expected columns and rows")
    return ParquetSource(
        {name: column.held for name, column in columns.items()},
        frozenset(name for name, column in columns.items() if column.uncertain),
        frozenset(name for name, column in columns.items() if column.is_date),
        tuple(reading.missing),
        block_bytes,
        tuple(notes),
    )


@dataclasses.dataclass(frozen=True)
class _Column:
    """The information on a column that its type gives.

    Attributes:
        held: what it holds.
        uncertain: whether its kind depends on its values.
        is_date: whether it holds dates, or times with a date.
    """

    held: Held
    uncertain: bool = False
    is_date: bool = False

    def joined(self, name: str, other: "_Column", file: str, first: str) -> "_Column":
        """Merges what the types of this column in two files say; raises if they do not agree."""
        mine, theirs = self.held.kind, other.held.kind
        if Kind.UNKNOWN not in (mine, theirs) and (mine == Kind.BYTES) != (theirs == Kind.BYTES):
            now, before = ("text", "numbers") if theirs == Kind.BYTES else ("numbers", "text")
            raise BadTable(f"{file}: {name}: holds {now}, but {before} in {first}; convert one")
        dates = [column.is_date for column in (self, other) if column.held]
        return _Column(
            self.held | other.held, self.uncertain or other.uncertain, bool(dates) and all(dates)
        )


def _columns(file: str, notes: dict[str, None]) -> dict[str, _Column]:
    """Returns the columns of a file; adds notes on what is left out or converted."""
    try:
        with files_lib.open_file(file) as opened:
            parquet = pa.parquet.ParquetFile(opened)
            schema, metadata = parquet.schema_arrow, parquet.metadata
    except (OSError, pa.ArrowInvalid) as error:
        raise BadTable(
            f"{file}: is cut off or damaged; copy or make the file again ({error})"
        ) from None
    counts = collections.Counter(schema.names)
    if repeated := {name for name, count in counts.items() if count > 1}:
        raise BadTable(f"{file}: columns stand twice: {', '.join(sorted(repeated))}; rename one")
    columns = {}
    leaves = {metadata.schema.column(index).path: index for index in range(metadata.num_columns)}
    for field in schema:
        if _ROW_INDEX.fullmatch(field.name):
            notes[f"column {field.name} is pandas' row index; it is left out"] = None
            continue
        columns[field.name] = _column(field, file, metadata, leaves)
        inner = _inner(field.type)
        if pa.types.is_decimal(inner) and inner.scale > 0:
            notes[f"column {field.name} holds decimals ({inner}); they are read as floats"] = None
        if pa.types.is_time(inner):
            notes[f"column {field.name} holds times of day; they are read as text"] = None
    return columns


def _column(
    field: pa.Field, file: str, metadata: pa.parquet.FileMetaData, leaves: Mapping[str, int]
) -> _Column:
    inner = _inner(field.type)
    is_list = _is_list(field.type)
    if pa.types.is_null(inner):
        return _Column(Held.NOTHING)
    if pa.types.is_duration(inner):
        raise BadTable(
            f"{file}: {field.name}: found durations ({inner}); write them as a number of seconds "
            "(pandas: .dt.total_seconds()), or leave the column out of the file"
        )
    if pa.types.is_boolean(inner) or pa.types.is_integer(inner):
        return _Column(Held.WHOLE, pa.types.is_uint64(inner) and not is_list)
    if pa.types.is_decimal(inner):
        whole = inner.scale <= 0
        # 18 digits always fit an int64, and 7 a 32-bit float.
        certain = inner.precision - inner.scale <= (18 if whole else 7)
        return _Column(Held.WHOLE if whole else Held.FRACTION, not certain and not is_list)
    if pa.types.is_floating(inner):
        is_double = pa.types.is_float64(inner) and not is_list
        return _Column(Held.FRACTION, is_double and not _is_small(leaves[field.name], metadata))
    texts = (pa.types.is_string, pa.types.is_large_string)
    binaries = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_time)
    if any(test(inner) for test in (*texts, *binaries)):
        return _Column(Held.TEXT)
    if pa.types.is_date(inner) or pa.types.is_timestamp(inner):
        return _Column(Held.TEXT, is_date=not is_list)
    raise BadTable(
        f"{file}: {field.name}: found the Parquet type {field.type}, expected numbers, booleans, "
        "text or dates; convert it or leave it out of the file"
    )


def _is_small(leaf: int, metadata: pa.parquet.FileMetaData) -> bool:
    """Returns whether, by a file's statistics, 32-bit floats hold a column's whole numbers."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        chunk = group.column(leaf)
        ends = chunk.is_stats_set and chunk.statistics
        if not ends or not ends.has_min_max:
            return False
        if not max(abs(ends.min), abs(ends.max)) <= _EXACT_IN_FLOATS:
            return False
    return True


def _held_by(column: pa.Array) -> Held:
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
            columns[name] = _lists(name, _plain(batch.column(name)), kind, file, missing)
        except _Unfit as error:
            raise BadTable(
                f"{file}: {name}: found {error}, expected {_EXPECTED[kind]}; convert the column"
            ) from None
    return pa.RecordBatch.from_pydict(columns)


class _Unfit(Exception):
    """A column's values are not of the expected kind; the message says what they are."""


def _is_list(kind: pa.DataType) -> bool:
    of_lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in of_lists)


def _inner(kind: pa.DataType) -> pa.DataType:
    """Returns the type of the values in a list, a dictionary or a list of dictionary values."""
    inner = kind.value_type if _is_list(kind) or pa.types.is_dictionary(kind) else kind
    return inner.value_type if pa.types.is_dictionary(inner) else inner


def _plain(column: pa.Array) -> pa.Array:
    """Decodes a dictionary column to its values, which Arrow can convert."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _lists(name: str, column: pa.Array, kind: Kind, file: str, missing: Sequence[str]) -> pa.Array:
    """Converts a column to a list per row, of its values or one value; empty or null if none."""
    if kind == Kind.UNKNOWN:
        return pa.nulls(len(column))
    if pa.types.is_null(column.type):
        column = column.cast(_FEATURES[kind])
    if not _is_list(column.type):
        return table.lists(_values(column, kind, missing))
    inner = _plain(column.drop_null().flatten())
    if inner.null_count:
        raise BadTable(f"{file}: {name}: found a list with a null in it; remove the null")
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
        return table.floats(_doubles(column, missing))
    if pa.types.is_floating(column.type):
        raise _Unfit("fractional numbers")
    if pa.types.is_binary(column.type) or pa.types.is_large_binary(column.type):
        return _without(column.cast(pa.large_binary()), [word.encode() for word in missing])
    return _without(texts_of(column), missing).cast(pa.large_binary())


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
        raise _Unfit(f"others ({error})") from None


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
    texts = _without(texts_of(column), ["", *missing])
    parsed = cell_values.numbers(texts, kind)
    if parsed is not None:
        return parsed
    try:
        numbers = [text and cell_values.number(text, kind) for text in texts.to_pylist()]
    except cell_values.NoNumber as error:
        raise _Unfit(table.shown(str(error))) from None
    return pa.array(numbers, pa.int64() if kind == Kind.INT else pa.float64())


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary)
    return any(test(kind) for test in (*tests, pa.types.is_large_binary))


def _without(column: pa.Array, words: Sequence) -> pa.Array:
    """Replaces some words in a column of texts by null."""
    if not words:
        return column
    matches = pc.is_in(column, pa.array(words, column.type))
    return pc.if_else(matches, pa.scalar(None, column.type), column)


def texts_of(column: pa.Array) -> pa.StringArray:
    """Converts values to text: times with a zone to local time with its offset, lists to JSON."""
    if _is_list(column.type):
        lists = [None if v is None else json.dumps(v) for v in column.to_pylist()]
        return pa.array(lists, pa.string())
    if pa.types.is_timestamp(column.type) and column.type.tz:
        return pc.strftime(column, format="%Y-%m-%d %H:%M:%S%z").cast(pa.string())
    if pa.types.is_decimal(column.type) or pa.types.is_floating(column.type):
        return pa.array([None if v is None else str(v) for v in column.to_pylist()], pa.string())
    return column.cast(pa.string())
