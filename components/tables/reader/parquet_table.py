"""Parquet tables, read a few row groups at a time; the row index that pandas adds is left out."""

import dataclasses
from collections.abc import Collection, Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet

from components.tables import column_kinds, table_files
from components.tables.column_kinds import Held, Kinds
from components.tables.reader import parquet_schema, parquet_values
from components.tables.table import BadTable, Piece, Rows, Scan, TextRows

_MOST_ROWS = 1 << 15


@dataclasses.dataclass(frozen=True)
class ParquetTable:
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
        """See `table.Table`."""
        return None if self.uncertain else column_kinds.kinds(self.held)

    def pieces(self, file: str, split: int = 0) -> Iterator[Piece]:
        """Yields runs of row groups, each at least as large as a block, except the last."""
        if table_files.is_empty(file):
            return
        with table_files.open_file(file) as opened:
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
        """See `table.Table`; only reads columns whose type does not determine their kind."""
        held = {name: flags for name, flags in self.held.items() if name not in self.uncertain}
        for block in self.blocks(piece, sorted(self.uncertain)):
            held = column_kinds.merge([held, block.held()])
        return held, None

    def blocks(
        self, piece: Piece, columns: Collection[str] | None = None
    ) -> Iterator["ParquetBlock"]:
        """See `table.Table`."""
        if table_files.is_empty(piece.file):
            return
        names = self.names if columns is None else list(columns)
        before = piece.line - 1
        with table_files.open_file(piece.file) as opened:
            file = pa.parquet.ParquetFile(opened)
            groups, most = range(file.metadata.num_row_groups), _MOST_ROWS
            if piece.end is not None:
                groups = range(piece.start, piece.end)
                size = sum(file.metadata.row_group(group).total_byte_size for group in groups)
                most = max(1, int(self.block_bytes * (piece.rows or 1) / max(size, 1)))
            for batch in file.iter_batches(
                # Pieces are read by several processes at once, a whole file by one.
                min(most, _MOST_ROWS),
                groups,
                names,
                use_threads=piece.end is None,
            ):
                yield ParquetBlock(self, piece.file, before, batch)
                before += batch.num_rows


@dataclasses.dataclass(frozen=True)
class ParquetBlock:
    """Rows of a Parquet file; see `table.Block`.

    Attributes:
        table: the table that the rows are from.
        file: path of the file.
        before: number of rows before these ones.
        batch: the columns as read from the file.
    """

    table: ParquetTable
    file: str
    before: int
    batch: pa.RecordBatch

    def features(self, kinds: Kinds) -> Rows:
        """See `table.Block`.

        Raises:
            BadTable: a list has a null in it, or a value does not fit the column's kind.
        """
        batch = parquet_values.features(self.batch, kinds, self.file, self.table.missing)
        return Rows(self.batch.num_rows, batch)

    def features_and_texts(self, kinds: Kinds) -> TextRows:
        """See `table.Block`."""
        texts = [parquet_values.texts_of(self._column(name)) for name in self.table.names]
        return TextRows(self.features(kinds), texts, self._location)

    def scan(self, texts: Collection[str]) -> Scan:
        """See `table.Block`.

        Raises:
            BadTable: a column to be read as text has bytes that are not UTF-8.
        """
        held = {**self.table.held, **self.held()}
        columns = {}
        for name in self.table.names:
            try:
                column = parquet_values.scanned(self._column(name), held[name].kind, name in texts)
            except pa.ArrowInvalid:
                raise BadTable(
                    f"{self.file}: {name}: found bytes that are not UTF-8 text; write the column "
                    "as text, or leave it out of the file"
                ) from None
            if pa.types.is_string(column.type):
                column = parquet_values.without(column, self.table.missing)
            columns[name] = column
        return Scan(held, columns, (), self._location)

    def held(self) -> dict[str, Held]:
        """Returns what the uncertain columns hold in these rows."""
        return {name: parquet_values.held_by(self._column(name)) for name in self.table.uncertain}

    def _column(self, name: str) -> pa.Array:
        return parquet_values.plain(self.batch.column(name))

    def _location(self, row: int) -> str:
        return f"{self.file}: row {self.before + row + 1}"


def open_table(files: Sequence[str], missing: Sequence[str], block_bytes: int) -> ParquetTable:
    """Checks the columns of all files that are not empty; raises as `parquet_schema.common`."""
    columns, notes = parquet_schema.common(files)
    return ParquetTable(
        {name: column.held for name, column in columns.items()},
        frozenset(name for name, column in columns.items() if column.uncertain),
        frozenset(name for name, column in columns.items() if column.is_date),
        tuple(missing),
        block_bytes,
        notes,
    )
