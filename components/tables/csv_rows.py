"""Rows of CSV files: read by Arrow where all rows of a block are good, else one by one."""

import csv
import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from components.tables import cell_values, csv_file, table, table_files
from components.tables.csv_file import Block
from components.tables.table import BadRow, Held, Kind, Kinds, Piece, Rows, Scan, TextRows

_ARROW = {
    Kind.UNKNOWN: pa.binary(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.BYTES: pa.binary(),
}
_FEW = 64
_NUL = "\ufdd0"  # a noncharacter, which `csv` accepts, unlike NUL
_EXPECTED = {Kind.INT: "a whole number", Kind.FLOAT: "a number"}


@dataclasses.dataclass(frozen=True)
class CsvSource:
    """CSV files with a common header.

    Attributes:
        names: names of the columns.
        encoding: text encoding.
        block_bytes: how much of a file is read at once.
        kinds: kinds of the columns; None unless all are known.
        missing, classes: see `table.Reading`.
        dates: empty, since CSV has no types.
        notes: see `table.Source`.
    """

    names: tuple[str, ...]
    encoding: str
    block_bytes: int
    kinds: Kinds | None = None
    missing: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    dates: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def pieces(self, file: str, split: int) -> Iterator[Piece]:
        """Yields a piece per block; a gzipped file, which is not seekable, is a single piece."""
        if table_files.is_zipped(file):
            yield Piece(file, split, 0, 0, None)
            return
        with table_files.open_file(file) as opened:
            for index, block in enumerate(csv_file.records(opened, self.block_bytes, file)):
                size = len(block.data)
                end = block.start + size
                yield Piece(file, split, index, block.start, end, size, block.line, block.rows)

    def infer(self, piece: Piece) -> tuple[dict[str, Held], BadRow | None]:
        """See `table.Source`."""
        columns = dict.fromkeys(self.names, Held.NOTHING)
        first = None
        for block in self._blocks(piece):
            scan = self._scan(block, piece.file, None)
            columns = table.merge([columns, scan.held])
            first = first or next(iter(scan.bad), None)
        return columns, first

    def read(self, piece: Piece, kinds: Kinds) -> Iterator[Rows]:
        """See `table.Source`."""
        for block in self._blocks(piece):
            yield self._read(block, piece.file, kinds)

    def _read(self, block: Block, file: str, kinds: Kinds) -> Rows:
        columns = self._typed(block, kinds)
        bad: list[BadRow] = []
        if columns is None:
            rows, bad, _ = self._rows(block, file, kinds)
            columns = [_parsed(column, kinds[name]) for name, column in zip(self.names, rows)]
        arrays = [_feature(column, kinds[name]) for name, column in zip(self.names, columns)]
        return Rows(block.rows, pa.RecordBatch.from_arrays(arrays, list(self.names)), bad)

    def scan(self, file: str, texts: Collection[str]) -> Iterator[Scan]:
        """See `table.TableSource`."""
        for block in self._blocks(Piece(file, 0, 0, 0, None)):
            yield self._scan(block, file, texts)

    def _scan(self, block: Block, file: str, texts: Collection[str] | None) -> Scan:
        columns = self._columns(block, dict.fromkeys(texts or (), Kind.BYTES))
        if columns is not None:
            return Scan(*self._told(block, columns, texts), (), _Lines(block, file))
        rows, bad, lines = self._rows(block, file, dict.fromkeys(self.names, Kind.BYTES))
        held, read = {}, {}
        for name, column in zip(self.names, rows):
            held[name] = self._held(name, column)
            read[name] = _parsed(column, Kind.BYTES)
            if name not in (texts or ()) and held[name].kind != Kind.BYTES:
                kind = held[name].kind
                read[name] = _numbers(read[name], Kind.FLOAT if kind == Kind.UNKNOWN else kind)
        return Scan(held, read, bad, _places(file, lines))

    def _told(
        self, block: Block, columns: Sequence[pa.Array], text_columns: Collection[str] | None
    ) -> tuple[dict[str, Held], dict[str, pa.Array]]:
        """Returns what the columns hold, given the types that Arrow inferred, and their values.

        Args:
            block: the block that the columns are from.
            columns: columns with the types that Arrow has inferred.
            text_columns: names of columns to return as text in any case; None if the values are not
                used.
        """
        held: dict[str, Held] = {}
        read: dict[str, pa.Array] = {}
        texts: list[pa.Array] | None = None
        for index, (name, column) in enumerate(zip(self.names, columns)):
            if _is_number_type(column.type) and name not in self.classes:
                read[name] = column
                odd = _odd(column)
                if odd is None:
                    held[name] = cell_values.held_by(column)
                    continue
                held[name] = cell_values.held_by(column.filter(pc.invert(odd)))
                texts = texts or self._texts(block)
                # With NaN among them, Arrow reads whole numbers as floats, however written.
                looked_at = texts[index]
                if Held.FRACTION in held[name]:
                    looked_at = looked_at.filter(odd)
                else:
                    held[name] = Held.NOTHING
                held[name] |= self._held(name, looked_at.unique().to_pylist())
                if Held.TEXT in held[name]:
                    read[name] = texts[index]
            elif pa.types.is_null(column.type):
                held[name], read[name] = Held.NOTHING, column
            else:
                text = column if _is_text_type(column.type) else None
                if text is None and (text_columns is not None or name in self.classes):
                    texts = texts or self._texts(block)
                    text = texts[index]
                # What Arrow takes for a boolean, date or time is text to us.
                held[name] = Held.TEXT if text is None else self._held_by_texts(name, text)
                if text is not None:
                    is_number = held[name].kind in (Kind.INT, Kind.FLOAT)
                    column = text
                    if is_number and text_columns is not None and name not in text_columns:
                        column = _numbers(text, held[name].kind)  # such as +3, or a class
                read[name] = column
        return held, read

    def _held_by_texts(self, name: str, column: pa.Array) -> Held:
        """Returns what texts hold; for most text, the first few values are enough to tell."""
        held = self._held(name, column[:_FEW].cast(pa.string()).to_pylist())
        if Held.TEXT in held:
            return held
        return held | self._held(name, column.unique().cast(pa.string()).to_pylist())

    def _held(self, name: str, texts: Iterable[str | None]) -> Held:
        of_value = cell_values.held_class if name in self.classes else cell_values.held
        held = Held.NOTHING
        for text in texts:
            if text:
                held |= of_value(text)
                if Held.TEXT in held:
                    break
        return held

    def read_with_text(self, piece: Piece, kinds: Kinds) -> Iterator[TextRows]:
        """See `table.TableSource`."""
        as_it_is = dataclasses.replace(self, missing=(), classes=())
        for block in self._blocks(piece):
            rows = self._read(block, piece.file, kinds)
            everything = dict.fromkeys(self.names, Kind.BYTES)
            texts = None if rows.bad else as_it_is._columns(block, everything)
            place_of: Callable[[int], str] = _Lines(block, piece.file)
            if texts is None:
                columns, _, lines = as_it_is._rows(block, piece.file, everything)
                bad = {row.line for row in rows.bad}
                good = [line not in bad for line in lines]
                texts = [
                    _parsed(column, Kind.BYTES).filter(pa.array(good, pa.bool_()))
                    for column in columns
                ]
                place_of = _places(piece.file, list(itertools.compress(lines, good)))
            texts = [text.cast(pa.string()) for text in texts]
            yield TextRows(rows, texts, place_of)

    def _blocks(self, piece: Piece) -> Iterator[Block]:
        with table_files.open_file(piece.file) as opened:
            if piece.end is None:
                yield from csv_file.records(opened, self.block_bytes, piece.file)
                return
            opened.seek(piece.start)
            assert piece.rows is not None
            data = opened.read(piece.end - piece.start)
            yield Block(piece.start, piece.line, piece.rows, data)

    def _typed(self, block: Block, kinds: Kinds) -> list[pa.Array] | None:
        """Returns the columns of a block in their kinds; None if a row may be bad."""
        typed = self._columns(block, {name: kinds[name] for name in self.names})
        # Arrow does not read +1 or true as numbers, and accepts more spellings of NaN than we do.
        is_certain = typed is not None and not any(map(_any_nan, typed))
        if is_certain or not {Kind.INT, Kind.FLOAT} & {kinds[name] for name in self.names}:
            return typed
        texts = self._columns(block, dict.fromkeys(self.names, Kind.BYTES))
        if texts is None:
            return None
        columns = []
        for index, (name, text) in enumerate(zip(self.names, texts)):
            column: pa.Array | None = text
            if kinds[name] in (Kind.INT, Kind.FLOAT):
                if typed is not None and not _any_nan(typed[index]):
                    column = typed[index]
                else:
                    column = cell_values.numbers(text.cast(pa.string()), kinds[name])
            if column is None:
                return None
            columns.append(column)
        return columns

    def _texts(self, block: Block) -> list[pa.Array]:
        texts = self._columns(block, dict.fromkeys(self.names, Kind.BYTES))
        assert texts is not None
        return [text.cast(pa.string()) for text in texts]

    def _columns(self, block: Block, kinds: Kinds) -> list[pa.Array] | None:
        """Returns the columns of a block as Arrow reads them; None if a row may be bad.

        Args:
            block: the block.
            kinds: kinds of columns; Arrow infers the types of columns that are not named.
        """
        data = self._utf8(block.data)
        if data is None:
            return None
        wrong: list[pa.csv.InvalidRow] = []

        def is_wrong(row: pa.csv.InvalidRow) -> str:
            wrong.append(row)
            return "skip"

        types = {name: _ARROW[kind] for name, kind in kinds.items()}
        try:
            columns = self._parse(data, types, is_wrong)
            if _may_hold_hexadecimal(data):
                # Arrow takes hexadecimal for whole numbers.
                texts = self._parse(data, dict.fromkeys(self.names, pa.binary()), is_wrong)
                for column, text in zip(columns, texts):
                    if pa.types.is_integer(column.type) and _has_hexadecimal(text):
                        return None
        except pa.ArrowInvalid:
            return None
        if wrong or len(columns[0]) != block.rows:
            return None
        return columns

    def _parse(
        self,
        data: bytes,
        types: Mapping[str, pa.DataType],
        is_wrong: Callable[[pa.csv.InvalidRow], str],
    ) -> list[pa.Array]:
        # `read_csv` ends by going through all objects of the process, which takes 50 ms.
        reader = pa.csv.open_csv(
            pa.BufferReader(data),
            pa.csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=self.names
            ),
            pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=is_wrong),
            pa.csv.ConvertOptions(
                column_types=types,
                null_values=["", *self.missing],
                strings_can_be_null=True,
                check_utf8=False,
            ),
        )
        return [column.combine_chunks() for column in reader.read_all().columns]

    def _utf8(self, data: bytes) -> bytes | None:
        if b"\0" in data:
            return None
        if data.isascii():
            return data
        try:
            text = data.decode(self.encoding)
        except UnicodeDecodeError:
            return None
        return data if self.encoding == "utf-8" else text.encode()

    def _rows(
        self, block: Block, file: str, kinds: Kinds
    ) -> tuple[list[list[str | None]], list[BadRow], list[int]]:
        """Returns the texts of the good rows by column, the bad rows, and the good rows' lines."""
        ends = csv_file.record_ends(block.data)
        starts = np.concatenate([[0], ends[:-1]])
        blank = csv_file.is_blank(block.data, ends)
        line = block.line
        missing = {"", *self.missing}
        good: list[list[str | None]] = []
        bad = []
        lines = []
        for start, end, empty in zip(starts.tolist(), ends.tolist(), blank.tolist()):
            record = block.data[start:end]
            if not empty:
                row, column, reason = self._row(record, kinds)
                if reason:
                    content = record.decode(self.encoding, "backslashreplace").rstrip("\r\n")
                    bad.append(BadRow(file, line, column, reason, content))
                else:
                    good.append(
                        [value if value and value not in missing else None for value in row]
                    )
                    lines.append(line)
            line += record.count(b"\n")
        columns = [list(column) for column in zip(*good)] if good else [[] for _ in self.names]
        return columns, bad, lines

    def _row(self, record: bytes, kinds: Kinds) -> tuple[list[str], str, str]:
        """Returns a record's values, the wrong column and the reason; "" twice if it is good."""
        csv.field_size_limit(csv_file.LONGEST_RECORD)
        # Undecodable bytes are reported below, with the column that has them.
        text = record.decode(self.encoding, "surrogateescape")
        try:
            row = next(csv.reader([text.replace("\0", _NUL)]), [])
        except csv.Error as error:
            return [], "", f"cannot be read: {error}: {table.shown(text)}"
        if len(row) != len(self.names):
            details = f"found {len(row)} fields, expected {len(self.names)} as in the header"
            return row, "", f"{details}: {table.shown(text.strip())}"
        for name, value in zip(self.names, row):
            if not _is_text(value):
                shown = table.shown(value.encode("utf-8", "surrogateescape").decode("latin-1"))
                what = f"found {shown}, which is not {self.encoding}"
                return row, name, f"{what}; {csv_file.of_encoding(self.encoding)}"
            if _NUL in value:
                details = table.shown(value.replace(_NUL, "\0"))
                return row, name, f"found {details}, with a NUL in it; remove it"
            if kinds[name] in _EXPECTED and value not in self.missing:
                try:
                    cell_values.number(value, kinds[name])
                except cell_values.NoNumber:
                    expected = _EXPECTED[kinds[name]]
                    return row, name, f"found {table.shown(value)}, expected {expected}"
        return row, "", ""


@dataclasses.dataclass(frozen=True)
class _Lines:
    """Callable that returns the place of a row of a block, as `houses.csv:12`."""

    block: Block
    file: str

    def __call__(self, row: int) -> str:
        """Returns the place of the row with an index."""
        line = self.block.line + int(np.searchsorted(self._line_ends, self._starts[row]))
        return f"{self.file}:{line}"

    @functools.cached_property
    def _line_ends(self) -> np.ndarray:
        return np.flatnonzero(np.frombuffer(self.block.data, np.uint8) == ord("\n"))

    @functools.cached_property
    def _starts(self) -> np.ndarray:
        ends = csv_file.record_ends(self.block.data)
        starts = np.concatenate([[0], ends[:-1]])
        return starts[~csv_file.is_blank(self.block.data, ends)]


def _places(file: str, lines: Sequence[int]) -> Callable[[int], str]:
    return lambda row: f"{file}:{lines[row]}"


def _is_text_type(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_binary(kind)


_BEFORE_A_NUMBER = np.isin(np.arange(256), list(b',"\n\r\t +-'))


def _may_hold_hexadecimal(data: bytes) -> bool:
    """Returns whether a field may begin like `0x1F`."""
    characters = np.frombuffer(data, np.uint8)
    for letter in b"xX":
        # Searching for a single byte takes a fraction of the time of searching for `0x`.
        if bytes([letter]) in data:
            places = np.flatnonzero(characters == letter)
            places = places[places > 0]
            places = places[characters[places - 1] == ord("0")]
            if (places == 1).any() or _BEFORE_A_NUMBER[characters[places - 2]].any():
                return True
    return False


def _has_hexadecimal(texts: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring(texts, "x", ignore_case=True)).as_py())


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_number_type(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _any_nan(column: pa.Array) -> bool:
    return pa.types.is_floating(column.type) and bool(pc.any(pc.is_nan(column)).as_py())


def _odd(column: pa.Array) -> pa.BooleanArray | None:
    """Returns a mask of the numbers whose text has to be checked; None if no number's has.

    Arrow reads whole numbers beyond 64 bits as floats, and also `nan(1)`.
    """
    if not pa.types.is_floating(column.type):
        return None
    ends = pc.min_max(column).as_py()
    if ends["min"] is None:
        return None
    most = max(abs(ends["min"]), abs(ends["max"]))
    if most < cell_values.EXACT_IN_DOUBLES and not _any_nan(column):
        return None
    return pc.invert(pc.less(pc.abs(column), cell_values.EXACT_IN_DOUBLES)).fill_null(False)


def _numbers(texts: pa.Array, kind: Kind) -> pa.Array:
    """Converts texts, all of which are numbers or NaN; unlike missing values, NaN stays NaN."""
    texts = texts.cast(pa.string())
    parsed = cell_values.numbers(texts, kind)
    if parsed is None:
        parsed = _parsed(texts.to_pylist(), kind)
    if parsed.null_count == texts.null_count:
        return parsed
    return pc.if_else(
        pc.and_(parsed.is_null(), texts.is_valid()), math.nan, parsed.cast(pa.float64())
    )


def _parsed(column: list[str | None], kind: Kind) -> pa.Array:
    """Converts texts to a column of the kind, which all of them fit."""
    if kind in (Kind.INT, Kind.FLOAT):
        return pa.array([text and cell_values.number(text, kind) for text in column], _ARROW[kind])
    return pa.array([None if text is None else text.encode() for text in column], _ARROW[kind])


def _feature(column: pa.Array, kind: Kind) -> pa.Array:
    if kind == Kind.UNKNOWN:
        return pa.nulls(len(column))
    if kind == Kind.FLOAT:
        column = table.floats(column)
    return table.lists(column.cast(pa.large_binary()) if kind == Kind.BYTES else column)
