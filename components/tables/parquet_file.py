"""Parquet files, a few row groups at a time.

TFX's own executor writes every zero and false as a missing value. Here whole numbers and booleans
become int64, other numbers float, text, days and times bytes (`2014-10-13`,
`2014-10-13 08:30:00.000`). Lists of them are lists of these.
"""

import dataclasses
from collections.abc import Collection, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from components.tables import files as files_lib
from components.tables import table
from components.tables.table import BadTable, Kind, Kinds, Piece, Rows, Scan

_MOST_ROWS = 1 << 15
_FEATURES = {Kind.INT: pa.int64(), Kind.FLOAT: pa.float32(), Kind.BYTES: pa.large_binary()}


@dataclasses.dataclass(frozen=True)
class ParquetSource:
    """Parquet files with the same columns.

    Attributes:
        kinds: of the columns.
        block_bytes: how much of a file is read at once.
    """

    kinds: Kinds
    block_bytes: int

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(self.kinds)

    def pieces(self, file: str, split: int) -> Iterator[Piece]:
        """Row groups, together as large as a block or larger."""
        with files_lib.open_file(file) as opened:
            metadata = pa.parquet.ParquetFile(opened).metadata
            groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        start = rows = size = number = 0
        for index, group in enumerate(groups):
            rows += group.num_rows
            size += group.total_byte_size
            if size >= self.block_bytes or index + 1 == len(groups):
                if rows:
                    yield Piece(file, split, number, start, index + 1, size, rows=rows)
                    number += 1
                start, rows, size = index + 1, 0, 0

    def infer(self, piece: Piece) -> tuple[dict[str, Kind], None]:
        """See `table.Source`; the files say what they hold."""
        return dict(self.kinds), None

    def read(self, piece: Piece, kinds: Kinds) -> Iterator[Rows]:
        """See `table.Source`.

        Raises:
            BadTable: a list has a null in it.
        """
        assert piece.end is not None
        with files_lib.open_file(piece.file) as opened:
            file = pa.parquet.ParquetFile(opened)
            groups = range(piece.start, piece.end)
            size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
            most = max(1, int(self.block_bytes * (piece.rows or 1) / max(size, 1)))
            for batch in file.iter_batches(
                min(most, _MOST_ROWS), groups, list(kinds), use_threads=False
            ):
                yield Rows(batch.num_rows, features(batch, kinds, piece.file))

    def scan(self, file: str, texts: Collection[str]) -> Iterator[Scan]:
        """See `table.TableSource`."""
        start = 0
        with files_lib.open_file(file) as opened:
            for batch in pa.parquet.ParquetFile(opened).iter_batches(_MOST_ROWS):
                columns = {
                    name: _scanned(batch.column(name), kind, name in texts)
                    for name, kind in self.kinds.items()
                }
                yield Scan(self.kinds, columns, (), _RowNumbers(file, start))
                start += batch.num_rows


@dataclasses.dataclass(frozen=True)
class _RowNumbers:
    """Says where the rows of a batch stand in a file without lines."""

    file: str
    start: int

    def __call__(self, row: int) -> str:
        """The place of a row, by its index."""
        return f"{self.file}: row {self.start + row + 1}"


def _scanned(column: pa.Array, kind: Kind, as_text: bool) -> pa.Array:
    """The values of a column as `features` reads them, but in full precision; lists as they are."""
    if _is_list(column.type) or pa.types.is_null(column.type):
        return column
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind == Kind.FLOAT and not as_text:
        return column.cast(pa.float64())
    if kind == Kind.FLOAT:
        texts = [None if v is None else str(v) for v in column.cast(pa.float64()).to_pylist()]
        return pa.array(texts, pa.string())
    values = _values(column, kind)
    return values.cast(pa.string()) if as_text and kind == Kind.INT else values


def open_source(files: Sequence[str], block_bytes: int) -> ParquetSource:
    """Looks at the columns of all files.

    Raises:
        BadTable: they are not the same, or no feature can hold them.
    """
    kinds: dict[str, Kind] = {}
    for file in files:
        files_lib.check_kind(file, "parquet")
        try:
            with files_lib.open_file(file) as opened:
                schema = pa.parquet.read_schema(opened)
        except (OSError, pa.ArrowInvalid) as error:
            raise BadTable(
                f"{file}: is cut off or damaged; copy or make the file again ({error})"
            ) from None
        found = {field.name: _kind(field.name, field.type, file) for field in schema}
        for name in kinds.keys() ^ found.keys() if kinds else ():
            where, other = (file, files[0]) if name in found else (files[0], file)
            raise BadTable(f"{other}: has no column {name}, as {where} has; give all the same")
        for name, kind in found.items():
            if {kind, kinds.get(name)} & {Kind.BYTES} and kinds.get(name) in (Kind.INT, Kind.FLOAT):
                raise BadTable(
                    f"{file}: {name}: holds text, but numbers in {files[0]}; convert one"
                )
            if kinds.get(name) == Kind.BYTES and kind in (Kind.INT, Kind.FLOAT):
                raise BadTable(
                    f"{file}: {name}: holds numbers, but text in {files[0]}; convert one"
                )
        kinds = table.merge([kinds, found])
    return ParquetSource(kinds, block_bytes)


def features(batch: pa.RecordBatch, kinds: Kinds, file: str) -> pa.RecordBatch:
    """The columns of a batch as lists of what features hold; a null is one without a value.

    Raises:
        BadTable: a list has a null in it.
    """
    columns = {name: _lists(name, batch.column(name), kind, file) for name, kind in kinds.items()}
    return pa.RecordBatch.from_pydict(columns)


def _is_list(kind: pa.DataType) -> bool:
    of_lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    return any(test(kind) for test in of_lists)


def _kind(name: str, found: pa.DataType, file: str) -> Kind:
    inner = found.value_type if _is_list(found) or pa.types.is_dictionary(found) else found
    if pa.types.is_dictionary(inner):
        inner = inner.value_type
    if pa.types.is_null(inner):
        return Kind.UNKNOWN
    if pa.types.is_boolean(inner) or pa.types.is_integer(inner):
        return Kind.INT
    if pa.types.is_floating(inner) or pa.types.is_decimal(inner):
        return Kind.FLOAT
    texts = (pa.types.is_string, pa.types.is_large_string)
    binaries = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_temporal)
    if any(test(inner) for test in (*texts, *binaries)):
        return Kind.BYTES
    raise BadTable(
        f"{file}: {name}: found the Parquet type {found}, expected numbers, booleans, text or "
        "dates; convert it or leave it out of the file"
    )


def _lists(name: str, column: pa.Array, kind: Kind, file: str) -> pa.Array:
    """One list for each row: its own, or of its one value; of none where it is null."""
    if kind == Kind.UNKNOWN:
        return pa.nulls(len(column))
    if pa.types.is_null(column.type):
        column = column.cast(_FEATURES[kind])
    if not _is_list(column.type):
        return table.lists(_values(column, kind))
    values = _values(column.drop_null().flatten(), kind)
    if values.null_count:
        raise BadTable(f"{file}: {name}: found a list with a null in it; remove the null")
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
    lists = pa.LargeListArray.from_arrays(offsets, values)
    # A schema calls lists by that name only if none is empty: an absent one says the same.
    return pc.if_else(pa.array(lengths > 0), lists, pa.scalar(None, lists.type))


def _values(column: pa.Array, kind: Kind) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if kind == Kind.INT:
        return column.cast(pa.int64())
    if kind == Kind.FLOAT:
        return table.floats(column.cast(pa.float64()))
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.string())
    return column.cast(pa.large_binary())
