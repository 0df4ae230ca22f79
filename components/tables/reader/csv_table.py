"""CSV tables: blocks are read by Arrow if all their rows are good, otherwise row by row."""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from components.tables import cell_values, column_kinds, table_files
from components.tables.bad_rows import BadRows
from components.tables.column_kinds import Held, Kind, Kinds
from components.tables.reader import csv_arrow, csv_records
from components.tables.reader.csv_arrow import ArrowParser
from components.tables.reader.csv_records import Records
from components.tables.reader.csv_rows import ParsedRows, RowParser
from components.tables.table import BadRow, Piece, Reading, Rows, Scan, TextRows

_FEW = 64
"""Values of a column that are looked at first, since one word among them makes it text."""


@dataclasses.dataclass(frozen=True)
class CsvTable:
    """CSV files with a common header.

    Attributes:
        names: names of the columns.
        reading: see `table.Reading`.
        block_bytes: how much of a file is read at once.
        kinds: kinds of the columns; None unless all are known.
        dates: empty, since CSV has no types.
        notes: see `table.Table`.
    """

    names: tuple[str, ...]
    reading: Reading
    block_bytes: int
    kinds: Kinds | None = None
    dates: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def pieces(self, file: str, split: int = 0) -> Iterator[Piece]:
        """Yields a piece per block; a gzipped file, which is not seekable, is a single piece."""
        if table_files.is_zipped(file):
            yield Piece.whole(file, split)
            return
        with table_files.open_file(file) as opened:
            for index, records in enumerate(csv_records.rows(opened, self.block_bytes, file)):
                size = len(records.data)
                end = records.start + size
                yield Piece(
                    file, split, index, records.start, end, size, records.line, records.rows
                )

    def infer(self, piece: Piece) -> tuple[dict[str, Held], BadRow | None]:
        """See `table.Table`."""
        held, bad = dict.fromkeys(self.names, Held.NOTHING), BadRows()
        for block in self.blocks(piece):
            scan = block.scan(None)
            held = column_kinds.merge([held, scan.held])
            bad.add(scan.bad)
        return held, bad.first

    def blocks(self, piece: Piece, columns: Collection[str] | None = None) -> Iterator["CsvBlock"]:
        """See `table.Table`."""
        with table_files.open_file(piece.file) as opened:
            if piece.end is None:
                records = csv_records.rows(opened, self.block_bytes, piece.file)
            else:
                assert piece.rows is not None
                opened.seek(piece.start)
                data = opened.read(piece.end - piece.start)
                records = iter([Records(piece.start, piece.line, piece.rows, data)])
            for block in records:
                yield CsvBlock(self.names, self.reading, piece.file, block)


@dataclasses.dataclass(frozen=True)
class CsvBlock:
    """Records of a CSV file; see `table.Block`."""

    names: tuple[str, ...]
    reading: Reading
    file: str
    records: Records

    def features(self, kinds: Kinds) -> Rows:
        """See `table.Block`."""
        columns = ArrowParser(self.names, self.reading).typed(self.records, kinds)
        bad: list[BadRow] = []
        if columns is None:
            rows = self._one_by_one(self.reading, kinds)
            bad = rows.bad
            columns = [
                _column(texts, kinds.get(name, Kind.BYTES))
                for name, texts in zip(self.names, rows.columns)
            ]
        features = {
            name: column_kinds.feature(column, kinds[name])
            for name, column in zip(self.names, columns)
            if name in kinds
        }
        return Rows(self.records.rows, pa.RecordBatch.from_pydict(features), bad)

    def features_and_texts(self, kinds: Kinds) -> TextRows:
        """See `table.Block`."""
        rows = self.features(kinds)
        as_written = dataclasses.replace(self.reading, missing=())
        texts = None
        if not rows.bad:
            texts = ArrowParser(self.names, as_written).columns(self.records, self._all_text)
        if texts is not None:
            return TextRows(rows, [text.cast(pa.string()) for text in texts], self._location())
        parsed = self._one_by_one(as_written, self._all_text)
        bad = {row.line for row in rows.bad}
        is_good = pa.array([line not in bad for line in parsed.lines], pa.bool_())
        texts = [pa.array(column, pa.string()).filter(is_good) for column in parsed.columns]
        lines = [line for line in parsed.lines if line not in bad]
        return TextRows(rows, texts, self._location(lines))

    def scan(self, texts: Collection[str] | None) -> Scan:
        """See `table.Block`; if `texts` is None, only `held` and `bad` of the result are used."""
        columns = ArrowParser(self.names, self.reading).columns(
            self.records, dict.fromkeys(texts or (), Kind.BYTES)
        )
        if columns is None:
            return self._scan_one_by_one(texts or ())
        held, values = {}, {}
        for index, name in enumerate(self.names):
            held[name], values[name] = self._scanned(index, columns[index], texts)
        return Scan(held, values, (), self._location())

    def _scan_one_by_one(self, text_columns: Collection[str]) -> Scan:
        rows = self._one_by_one(self.reading, self._all_text)
        held, values = {}, {}
        for name, texts in zip(self.names, rows.columns):
            held[name] = self._held(name, texts)
            values[name] = _column(texts, Kind.BYTES)
            kind = held[name].kind
            if name not in text_columns and kind != Kind.BYTES:
                values[name] = _numbers(values[name], Kind.FLOAT if kind == Kind.UNKNOWN else kind)
        return Scan(held, values, rows.bad, self._location(rows.lines))

    def _scanned(
        self, index: int, column: pa.Array, text_columns: Collection[str] | None
    ) -> tuple[Held, pa.Array]:
        """Returns what a column holds, given the type that Arrow inferred, and its values."""
        name = self.names[index]
        if pa.types.is_null(column.type):
            return Held.NOTHING, column
        if _is_number_type(column.type) and name not in self.reading.classes:
            return self._scanned_numbers(index, column)
        if not _is_text_type(column.type):
            # What Arrow takes for a boolean, date or time is text to us.
            if text_columns is None and name not in self.reading.classes:
                return Held.TEXT, column
            column = self._texts[index]
        held = self._held_by_texts(name, column)
        is_number = held.kind in (Kind.INT, Kind.FLOAT)
        if is_number and text_columns is not None and name not in text_columns:
            return held, _numbers(column, held.kind)  # such as +3, or a class
        return held, column

    def _scanned_numbers(self, index: int, column: pa.Array) -> tuple[Held, pa.Array]:
        uncertain = _uncertain(column)
        if uncertain is None:
            return cell_values.held_by(column), column
        texts = self._texts[index]
        held = cell_values.held_by(column.filter(pc.invert(uncertain)))
        checked = texts.filter(uncertain)
        if Held.FRACTION not in held:
            # With NaN among them, Arrow reads whole numbers as floats, however written.
            held, checked = Held.NOTHING, texts
        held |= self._held(self.names[index], checked.unique().to_pylist())
        return held, texts if Held.TEXT in held else column

    def _held_by_texts(self, name: str, column: pa.Array) -> Held:
        """Returns what texts hold; for most text, the first few values are enough to tell."""
        held = self._held(name, column[:_FEW].cast(pa.string()).to_pylist())
        if Held.TEXT in held:
            return held
        return held | self._held(name, column.unique().cast(pa.string()).to_pylist())

    def _held(self, name: str, texts: Iterable[str | None]) -> Held:
        classify = cell_values.held_class if name in self.reading.classes else cell_values.held
        held = Held.NOTHING
        for text in texts:
            if text:
                held |= classify(text)
                if Held.TEXT in held:
                    break
        return held

    @property
    def _all_text(self) -> Kinds:
        return dict.fromkeys(self.names, Kind.BYTES)

    @functools.cached_property
    def _texts(self) -> list[pa.Array]:
        texts = ArrowParser(self.names, self.reading).columns(self.records, self._all_text)
        assert texts is not None
        return [text.cast(pa.string()) for text in texts]

    def _one_by_one(self, reading: Reading, kinds: Kinds) -> ParsedRows:
        return RowParser(self.names, reading).parse(self.records, self.file, kinds)

    def _location(self, lines: Sequence[int] | None = None) -> Callable[[int], str]:
        """Returns a function from the index of a good row to its location.

        Args:
            lines: the lines of the good rows; by default, all rows are good.
        """
        return lambda row: f"{self.file}:{(self.records.lines if lines is None else lines)[row]}"


def _is_text_type(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_binary(kind)


def _is_number_type(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _uncertain(column: pa.Array) -> pa.BooleanArray | None:
    """Returns a mask of the numbers whose text has to be checked; None if none has.

    Arrow reads whole numbers beyond 64 bits as floats, and also `nan(1)`.
    """
    if not pa.types.is_floating(column.type):
        return None
    ends = pc.min_max(column).as_py()
    if ends["min"] is None:
        return None
    most = max(abs(ends["min"]), abs(ends["max"]))
    if most < cell_values.EXACT_IN_DOUBLES and not csv_arrow.any_nan(column):
        return None
    return pc.invert(pc.less(pc.abs(column), cell_values.EXACT_IN_DOUBLES)).fill_null(False)


def _numbers(texts: pa.Array, kind: Kind) -> pa.Array:
    """Converts texts, all of which are numbers or NaN; unlike missing values, NaN stays NaN."""
    texts = texts.cast(pa.string())
    parsed = cell_values.parse_numbers(texts, kind)
    if parsed.null_count == texts.null_count:
        return parsed
    return pc.if_else(
        pc.and_(parsed.is_null(), texts.is_valid()), math.nan, parsed.cast(pa.float64())
    )


def _column(texts: list[str | None], kind: Kind) -> pa.Array:
    """Converts texts to a column of the kind, which all of them fit."""
    column = pa.array(texts, pa.string())
    if kind in (Kind.INT, Kind.FLOAT):
        return cell_values.parse_numbers(column, kind)
    return column.cast(csv_arrow.TYPES[kind])
