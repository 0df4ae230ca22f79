"""Partition columns: columns in folder names, as in `out/town=Ash/part-0.parquet`.

Hive and Spark write tables this way. The values are inferred from the text in the names by the same
rules as in CSV. Names and values are percent-decoded: `%20` is a space.
"""

import dataclasses
import urllib.parse
from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa

from components.tables import cell_values, column_kinds, table
from components.tables.column_kinds import Held, Kind, Kinds
from components.tables.table import (
    BadRow,
    BadTable,
    Block,
    Piece,
    Reading,
    Rows,
    Scan,
    Table,
    TextRows,
)

_MISSING = "__HIVE_DEFAULT_PARTITION__"


@dataclasses.dataclass(frozen=True)
class PartitionedTable:
    """A table with partition columns in addition to the columns in its files.

    Attributes:
        table: the table without partition columns.
        values: values of the partition columns, by file and column; None if missing.
        more: what the partition columns hold, by column.
    """

    table: Table
    values: Mapping[str, Mapping[str, str | None]]
    more: Mapping[str, Held]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, partition columns last."""
        return (*self.table.names, *self.more)

    @property
    def kinds(self) -> Kinds | None:
        """See `table.Table`."""
        in_files = self.table.kinds
        return None if in_files is None else {**in_files, **column_kinds.kinds(self.more)}

    @property
    def dates(self) -> Collection[str]:
        """See `table.Table`."""
        return self.table.dates

    @property
    def notes(self) -> tuple[str, ...]:
        """See `table.Table`."""
        more = ", ".join(self.more)
        return (*self.table.notes, f"columns taken from folder names: {more}")

    def pieces(self, file: str, split: int = 0) -> Iterator[Piece]:
        """See `table.Table`."""
        return self.table.pieces(file, split)

    def infer(self, piece: Piece) -> tuple[dict[str, Held], BadRow | None]:
        """See `table.Table`."""
        held, bad = self.table.infer(piece)
        return {**held, **self.more}, bad

    def blocks(self, piece: Piece, columns: Collection[str] | None = None) -> Iterator[Block]:
        """See `table.Table`."""
        in_files = None if columns is None else [name for name in columns if name not in self.more]
        for block in self.table.blocks(piece, in_files):
            yield _PartitionedBlock(block, piece.file, self.values[piece.file], self.more)


@dataclasses.dataclass(frozen=True)
class _PartitionedBlock:
    """Rows of a file with its partition columns; see `table.Block`."""

    block: Block
    file: str
    values: Mapping[str, str | None]
    more: Mapping[str, Held]

    def features(self, kinds: Kinds) -> Rows:
        return self._with_more(self.block.features(self._in_files(kinds)), kinds)

    def features_and_texts(self, kinds: Kinds) -> TextRows:
        text_rows = self.block.features_and_texts(self._in_files(kinds))
        rows = self._with_more(text_rows.rows, kinds)
        more = [self._column(name, Kind.BYTES, rows.good) for name in self.more]
        return dataclasses.replace(text_rows, rows=rows, texts=(*text_rows.texts, *more))

    def scan(self, texts: Collection[str]) -> Scan:
        scan = self.block.scan([name for name in texts if name not in self.more])
        count = len(next(iter(scan.columns.values()))) if scan.columns else 0
        more = {
            name: self._column(name, Kind.BYTES if name in texts else held.kind, count)
            for name, held in self.more.items()
        }
        return dataclasses.replace(
            scan, held={**scan.held, **self.more}, columns={**scan.columns, **more}
        )

    def _in_files(self, kinds: Kinds) -> Kinds:
        return {name: kind for name, kind in kinds.items() if name not in self.more}

    def _with_more(self, rows: Rows, kinds: Kinds) -> Rows:
        columns = dict(zip(rows.batch.schema.names, rows.batch.columns))
        for name in self.more:
            if name in kinds:
                column = self._column(name, kinds[name], rows.good)
                columns[name] = column_kinds.feature(column, kinds[name])
        return dataclasses.replace(rows, batch=pa.RecordBatch.from_pydict(columns))

    def _column(self, name: str, kind: Kind, count: int) -> pa.Array:
        text = self.values[name]
        if kind == Kind.UNKNOWN:
            return pa.nulls(count)
        column = pa.array([text] * count, pa.string())
        if kind == Kind.BYTES:
            return column
        try:
            return cell_values.parse_numbers(column, kind)
        except cell_values.NotANumber:
            raise BadTable(
                f"{self.file}: {name}: found {table.shown(text or '')} in the folder's name, "
                f"expected {column_kinds.EXPECTED[kind]}"
            ) from None


def columns(
    files: Sequence[str], folder: str, names: Collection[str] | None = None
) -> dict[str, dict[str, str | None]]:
    """Returns the partition columns and values of each file.

    Args:
        files: paths of the files.
        folder: the folder below which folder names are read.
        names: the columns to return; by default all.

    Raises:
        BadTable: the files do not have the same partition columns.
    """
    by_file = {file: dict(_columns(file.removeprefix(folder))) for file in files}
    first = by_file[files[0]]
    for file, values in by_file.items():
        if values.keys() != first.keys():
            raise BadTable(
                f"{file}: the columns in its folder names are {', '.join(values) or 'none'}, but "
                f"those of {files[0]} are {', '.join(first) or 'none'}; they must be the same for "
                "all files"
            )
    if names is None:
        return by_file
    return {
        file: {name: value for name, value in values.items() if name in names}
        for file, values in by_file.items()
    }


def _columns(path: str) -> Iterator[tuple[str, str | None]]:
    for part in path.split("/")[:-1]:
        name, equals, value = part.partition("=")
        if name and equals:
            value = urllib.parse.unquote(value)
            yield urllib.parse.unquote(name), None if value in (_MISSING, "") else value


def wrapped(
    unpartitioned: Table,
    by_file: Mapping[str, Mapping[str, str | None]],
    reading: Reading,
    kinds: Kinds | None = None,
) -> Table:
    """Adds partition columns to a table; a column in the files takes precedence.

    Args:
        unpartitioned: the table without partition columns.
        by_file: the partition columns of each file, from `columns`.
        reading: tells which words mark missing values, and which columns hold classes.
        kinds: kinds of columns, where known; the others are inferred.
    """
    first = next(iter(by_file.values()), {})
    names = [name for name in first if name not in unpartitioned.names]
    if not names:
        return unpartitioned
    present = {
        file: {name: None if values[name] in reading.missing else values[name] for name in names}
        for file, values in by_file.items()
    }
    more = column_kinds.merge(
        {name: _held(name, text, reading) for name, text in values.items()}
        for values in present.values()
    )
    known = {name: Held.by(kind) for name, kind in (kinds or {}).items() if name in more}
    return PartitionedTable(unpartitioned, present, {**more, **known})


def _held(name: str, text: str | None, reading: Reading) -> Held:
    classify = cell_values.held_class if name in reading.classes else cell_values.held
    return classify(text or "")
