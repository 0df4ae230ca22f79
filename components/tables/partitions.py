"""Partition columns: columns in the names of folders, as in `out/town=Ash/part-0.parquet`.

Hive and Spark write tables this way. The values are inferred from the text in the names by the same
rules as in CSV. Names and values are percent-decoded: `%20` is a space.
"""

import dataclasses
import urllib.parse
from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa

from components.tables import cell_values, table
from components.tables.table import (
    BadRow,
    BadTable,
    Held,
    Kind,
    Kinds,
    Piece,
    Reading,
    Rows,
    Scan,
    TableSource,
    TextRows,
)

_MISSING = "__HIVE_DEFAULT_PARTITION__"
_ARROW = {Kind.INT: pa.int64(), Kind.FLOAT: pa.float64(), Kind.BYTES: pa.string()}


@dataclasses.dataclass(frozen=True)
class PartitionedSource:
    """A source that adds partition columns to the columns in the files.

    Attributes:
        source: reader of the files.
        values: values of the partition columns, by file and column; None if missing.
        more: what the partition columns hold, by column.
    """

    source: TableSource
    values: Mapping[str, Mapping[str, str | None]]
    more: Mapping[str, Held]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns, partition columns last."""
        return (*self.source.names, *self.more)

    @property
    def kinds(self) -> Kinds | None:
        """See `table.TableSource`."""
        source_kinds = self.source.kinds
        return None if source_kinds is None else {**source_kinds, **table.kinds(self.more)}

    @property
    def dates(self) -> Collection[str]:
        """See `table.TableSource`."""
        return self.source.dates

    @property
    def notes(self) -> tuple[str, ...]:
        """See `table.TableSource`."""
        more = ", ".join(self.more)
        return (*self.source.notes, f"from the names of the folders: {more}")

    def pieces(self, file: str, split: int) -> Iterator[Piece]:
        """See `table.TableSource`."""
        return self.source.pieces(file, split)

    def infer(self, piece: Piece) -> tuple[dict[str, Held], BadRow | None]:
        """See `table.TableSource`."""
        held, bad = self.source.infer(piece)
        return {**held, **self.more}, bad

    def read(self, piece: Piece, kinds: Kinds) -> Iterator[Rows]:
        """See `table.TableSource`."""
        for rows in self.source.read(piece, self._without(kinds)):
            yield self._with_more(rows, piece.file, kinds)

    def read_with_text(self, piece: Piece, kinds: Kinds) -> Iterator[TextRows]:
        """See `table.TableSource`."""
        for text_rows in self.source.read_with_text(piece, self._without(kinds)):
            rows = self._with_more(text_rows.rows, piece.file, kinds)
            count = rows.batch.num_rows
            values = self.values[piece.file]
            more = [pa.array([values[name]] * count, pa.string()) for name in self.more]
            yield dataclasses.replace(text_rows, rows=rows, texts=(*text_rows.texts, *more))

    def scan(self, file: str, texts: Collection[str]) -> Iterator[Scan]:
        """See `table.TableSource`."""
        for scan in self.source.scan(file, [name for name in texts if name not in self.more]):
            count = len(next(iter(scan.columns.values()))) if scan.columns else 0
            more = {}
            for name, held in self.more.items():
                kind = Kind.BYTES if name in texts else held.kind
                more[name] = self._column(file, name, kind, count)
            both = {**scan.held, **self.more}
            yield dataclasses.replace(scan, held=both, columns={**scan.columns, **more})

    def _without(self, kinds: Kinds) -> Kinds:
        return {name: kind for name, kind in kinds.items() if name not in self.more}

    def _with_more(self, rows: Rows, file: str, kinds: Kinds) -> Rows:
        columns = dict(zip(rows.batch.schema.names, rows.batch.columns))
        for name in self.more:
            if name in kinds:
                column = self._column(file, name, kinds[name], rows.batch.num_rows)
                columns[name] = _feature(column, kinds[name])
        return dataclasses.replace(rows, batch=pa.RecordBatch.from_pydict(columns))

    def _column(self, file: str, name: str, kind: Kind, count: int) -> pa.Array:
        text = self.values[file][name]
        if kind == Kind.UNKNOWN:
            return pa.nulls(count)
        if text is None or kind == Kind.BYTES:
            return pa.array([text] * count, _ARROW[kind])
        try:
            return pa.array([cell_values.number(text, kind)] * count, _ARROW[kind])
        except cell_values.NoNumber:
            raise BadTable(
                f"{file}: {name}: found {table.shown(text)} in the name of the folder, expected a "
                "number"
            ) from None


def _feature(column: pa.Array, kind: Kind) -> pa.Array:
    if kind == Kind.UNKNOWN:
        return column
    if kind == Kind.FLOAT:
        return table.lists(table.floats(column))
    return table.lists(column.cast(pa.large_binary()) if kind == Kind.BYTES else column)


def columns(files: Sequence[str], folder: str) -> dict[str, dict[str, str | None]]:
    """Returns the partition columns and values of each file, from folders below `folder`.

    Raises:
        BadTable: the files do not have the same partition columns.
    """
    by_file = {file: dict(_columns(file.removeprefix(folder))) for file in files}
    first = by_file[files[0]]
    for file, values in by_file.items():
        if values.keys() != first.keys():
            raise BadTable(
                f"{file}: the columns in its folders' names are {', '.join(values) or 'none'}, but "
                f"those of {files[0]} are {', '.join(first) or 'none'}; give all files the same"
            )
    return by_file


def _columns(path: str) -> Iterator[tuple[str, str | None]]:
    for part in path.split("/")[:-1]:
        name, equals, value = part.partition("=")
        if name and equals:
            value = urllib.parse.unquote(value)
            yield urllib.parse.unquote(name), None if value in (_MISSING, "") else value


def wrapped(
    source: TableSource,
    found: Mapping[str, Mapping[str, str | None]],
    reading: Reading,
    kinds: Kinds | None = None,
) -> TableSource:
    """Adds partition columns to a source; a column in the files takes precedence.

    Args:
        source: reader of the files.
        found: the partition columns of each file, from `columns`.
        reading: tells which words mark missing values, and which columns hold classes.
        kinds: kinds of columns, where known; the others are inferred.
    """
    first = next(iter(found.values()), {})
    names = [name for name in first if name not in source.names]
    if not names:
        return source
    by_file = {
        file: {name: None if values[name] in reading.missing else values[name] for name in names}
        for file, values in found.items()
    }
    more = table.merge(
        {name: _held(name, text, reading) for name, text in values.items()}
        for values in by_file.values()
    )
    known = {name: Held.by(kind) for name, kind in (kinds or {}).items() if name in more}
    return PartitionedSource(source, by_file, {**more, **known})


def _held(name: str, text: str | None, reading: Reading) -> Held:
    of_value = cell_values.held_class if name in reading.classes else cell_values.held
    return of_value(text or "")
