"""Rows of CSV files: as Arrow reads them where all is well, one by one where it is not."""

import csv
import dataclasses
import functools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from components.tables import csv_file, files, table
from components.tables.csv_file import Block
from components.tables.table import BadRow, Kind, Kinds, Piece, Rows, Scan

_ARROW = {
    Kind.UNKNOWN: pa.binary(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.BYTES: pa.binary(),
}
_FEW = 64
_NUL = "\ufdd0"  # which is no character, but `csv` takes it
_INT64 = range(-(2**63), 2**63)
_EXPECTED = {Kind.INT: "a whole number", Kind.FLOAT: "a number"}


@dataclasses.dataclass(frozen=True)
class CsvSource:
    """CSV files with one header.

    Attributes:
        names: of the columns.
        encoding: of the text.
        block_bytes: how much of a file is read at once.
        kinds: of the columns, where all are known.
        classes: see `table.Reading`.
    """

    names: tuple[str, ...]
    encoding: str
    block_bytes: int
    kinds: Kinds | None = None
    classes: tuple[str, ...] = ()

    def pieces(self, file: str, split: int) -> Iterator[Piece]:
        """A piece for each block; a zipped file cannot be entered in the middle and stays whole."""
        if files.is_zipped(file):
            yield Piece(file, split, 0, 0, None)
            return
        with files.open_file(file) as opened:
            for number, block in enumerate(csv_file.records(opened, self.block_bytes, file)):
                size = len(block.data)
                end = block.start + size
                yield Piece(file, split, number, block.start, end, size, block.line, block.rows)

    def infer(self, piece: Piece) -> tuple[dict[str, Kind], BadRow | None]:
        """See `table.Source`."""
        kinds = dict.fromkeys(self.names, Kind.UNKNOWN)
        first = None
        for block in self._blocks(piece):
            found, bad = self._infer(block, piece.file)
            kinds = table.merge([kinds, found])
            first = first or bad
        return kinds, first

    def read(self, piece: Piece, kinds: Kinds) -> Iterator[Rows]:
        """See `table.Source`."""
        for block in self._blocks(piece):
            columns = self._columns(block, kinds)
            bad: list[BadRow] = []
            if columns is None:
                rows, bad, _ = self._rows(block, piece.file, kinds)
                columns = [_parsed(column, kinds[n]) for n, column in zip(self.names, rows)]
            arrays = [_feature(column, kinds[name]) for name, column in zip(self.names, columns)]
            batch = pa.RecordBatch.from_arrays(arrays, list(self.names))
            yield Rows(block.rows, batch, bad)

    def scan(self, file: str, texts: Collection[str]) -> Iterator[Scan]:
        """See `table.TableSource`."""
        for block in self._blocks(Piece(file, 0, 0, 0, None)):
            yield self._scan(block, file, texts)

    def _scan(self, block: Block, file: str, texts: Collection[str]) -> Scan:
        columns = self._columns(block, dict.fromkeys(texts, Kind.BYTES))
        if columns is None:
            everything = dict.fromkeys(self.names, Kind.BYTES)
            rows, bad, lines = self._rows(block, file, everything)
            read = {}
            kinds = {}
            for name, values in zip(self.names, rows):
                kinds[name] = self._kind(name, values)
                is_text = name in texts or kinds[name] == Kind.UNKNOWN
                read[name] = _parsed(values, Kind.BYTES if is_text else kinds[name])
            return Scan(kinds, read, bad, lambda row: f"{file}:{lines[row]}")
        return Scan(*self._told(block, columns, texts), (), _Lines(block, file))

    def _told(
        self, block: Block, columns: Sequence[pa.Array], texts: Collection[str]
    ) -> tuple[dict[str, Kind], dict[str, pa.Array]]:
        """The kinds of columns that Arrow found types for; those that are text are made text."""
        kinds: dict[str, Kind] = {}
        read: dict[str, pa.Array] = {}
        all_texts: list[pa.Array] | None = None
        for place, (name, column) in enumerate(zip(self.names, columns)):
            is_text = _is_text_type(column.type)
            kind = None if is_text else _kind_of_type(column)
            if kind is None or (kind == Kind.BYTES and not is_text):
                text = column
                if not is_text:
                    if all_texts is None:
                        all_texts = self._columns(block, dict.fromkeys(self.names, Kind.BYTES))
                    assert all_texts is not None
                    text = all_texts[place]
                kind = self._kind_of_texts(name, text.cast(pa.binary()))
                if kind == Kind.BYTES or name in texts:
                    column = text
                elif is_text:  # such as +3, which Arrow takes for no number
                    column = _parsed(text.cast(pa.binary()).to_pylist(), kind)
            kinds[name], read[name] = kind, column
        return kinds, read

    def _kind_of_texts(self, name: str, texts: pa.BinaryArray) -> Kind:
        """See `_kind`; looks at a few values first, which tells for most text."""
        kind = self._kind(name, texts[:_FEW].to_pylist())
        return kind if kind == Kind.BYTES else self._kind(name, texts.unique().to_pylist())

    def _kind(self, name: str, texts: Iterable[bytes | None]) -> Kind:
        texts = list(texts)
        kind = _kind(texts)
        if name not in self.classes or kind in (Kind.UNKNOWN, Kind.BYTES):
            return kind
        are_whole = kind == Kind.INT and all(text == b"%d" % int(text) for text in texts if text)
        return Kind.INT if are_whole else Kind.BYTES

    def _blocks(self, piece: Piece) -> Iterator[Block]:
        with files.open_file(piece.file) as opened:
            if piece.end is None:
                yield from csv_file.records(opened, self.block_bytes, piece.file)
                return
            opened.seek(piece.start)
            assert piece.rows is not None
            data = opened.read(piece.end - piece.start)
            yield Block(piece.start, piece.line, piece.rows, data)

    def _columns(self, block: Block, kinds: Kinds | None) -> list[pa.Array] | None:
        """The columns of a block, as Arrow reads them; None if not all rows are as they should be.

        Args:
            block: the block.
            kinds: of columns; Arrow finds a type for each that is not among them.
        """
        data = self._utf8(block.data)
        if data is None:
            return None
        wrong: list[pa.csv.InvalidRow] = []

        def is_wrong(row: pa.csv.InvalidRow) -> str:
            wrong.append(row)
            return "skip"

        types = kinds and {name: _ARROW[kind] for name, kind in kinds.items()}
        try:
            columns = self._parse(data, types, is_wrong)
            if b"0x" in data or b"0X" in data:
                # Arrow, but not Python, takes it for a whole number.
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
        types: Mapping[str, pa.DataType] | None,
        is_wrong: Callable[[pa.csv.InvalidRow], str],
    ) -> list[pa.Array]:
        # `read_csv` goes through all objects of the process when it is done: 50 ms a call.
        reader = pa.csv.open_csv(
            pa.BufferReader(data),
            pa.csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=self.names
            ),
            pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=is_wrong),
            pa.csv.ConvertOptions(
                column_types=types, null_values=[""], strings_can_be_null=True, check_utf8=False
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

    def _infer(self, block: Block, file: str) -> tuple[dict[str, Kind], BadRow | None]:
        columns = self._columns(block, dict.fromkeys(self.classes, Kind.BYTES))
        if columns is None:
            rows, bad, _ = self._rows(block, file, dict.fromkeys(self.names, Kind.BYTES))
            found = {name: self._kind(name, texts) for name, texts in zip(self.names, rows)}
            return found, bad[0] if bad else None
        kinds: dict[str, Kind] = {}
        texts: list[pa.Array] | None = None
        for place, (name, column) in enumerate(zip(self.names, columns)):
            if name in self.classes:
                kinds[name] = self._kind_of_texts(name, column)
                continue
            kind = _kind_of_type(column)
            if kind is None:
                texts = texts or self._columns(block, dict.fromkeys(self.names, Kind.BYTES))
                assert texts is not None
                kind = self._kind(name, texts[place].unique().to_pylist())
            kinds[name] = kind
        return kinds, None

    def _rows(
        self, block: Block, file: str, kinds: Kinds
    ) -> tuple[list[list[bytes | None]], list[BadRow], list[int]]:
        """The columns of a block's good rows, as they stand there, the bad rows, and good lines."""
        ends = csv_file.record_ends(block.data)
        starts = np.concatenate([[0], ends[:-1]])
        blank = csv_file.is_blank(block.data, ends)
        line = block.line
        good: list[list[bytes | None]] = []
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
                    good.append([value.encode() or None for value in row])
                    lines.append(line)
            line += record.count(b"\n")
        columns = [list(column) for column in zip(*good)] if good else [[] for _ in self.names]
        return columns, bad, lines

    def _row(self, record: bytes, kinds: Kinds) -> tuple[list[str], str, str]:
        """A record's values, or the column that is wrong and the reason."""
        csv.field_size_limit(csv_file.LONGEST_RECORD)
        # Bytes that are wrong are looked for in the value that has them.
        text = record.decode(self.encoding, "surrogateescape")
        try:
            row = next(csv.reader([text.replace("\0", _NUL)]), [])
        except csv.Error as error:
            return [], "", f"cannot be read: {error}: {table.shown(text)}"
        if len(row) != len(self.names):
            found = f"found {len(row)} fields, expected {len(self.names)} as in the header"
            return row, "", f"{found}: {table.shown(text.strip())}"
        for name, value in zip(self.names, row):
            if not _is_text(value):
                shown = table.shown(value.encode("utf-8", "surrogateescape").decode("latin-1"))
                what = f"found {shown}, which is not {self.encoding}"
                return row, name, f"{what}; {csv_file.of_encoding(self.encoding)}"
            if _NUL in value:
                found = table.shown(value.replace(_NUL, "\0"))
                return row, name, f"found {found}, with a NUL in it; remove it"
            if value and _number(value.encode(), kinds[name]) is None:
                expected = _EXPECTED[kinds[name]]
                return row, name, f"found {table.shown(value)}, expected {expected}"
        return row, "", ""


@dataclasses.dataclass(frozen=True)
class _Lines:
    """Says on which line of a file the rows of a block stand."""

    block: Block
    file: str

    def __call__(self, row: int) -> str:
        """The place of a row, by its index."""
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


def _is_text_type(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_binary(kind)


def _has_hexadecimal(texts: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring(texts, "x", ignore_case=True)).as_py())


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _number(text: bytes, kind: Kind) -> int | float | bytes | None:
    """A value of a kind, or None if it is none; what is no number passes as it is."""
    try:
        if kind == Kind.INT:
            number = int(text)
            return number if number in _INT64 else None
        return float(text) if kind == Kind.FLOAT else text
    except ValueError:
        return None


def _kind(texts: Iterable[bytes | None]) -> Kind:
    """The kind of a column with these values, in Python's terms, as CsvExampleGen has them."""
    kind = Kind.UNKNOWN
    for text in texts:
        if text:
            kind = max(kind, _kind_of(text))
            if kind == Kind.BYTES:
                break
    return kind


def _kind_of(text: bytes) -> Kind:
    try:
        # A longer number is an identifier, and no float should round it.
        return Kind.INT if int(text) in _INT64 else Kind.BYTES
    except ValueError:
        return Kind.BYTES if _number(text, Kind.FLOAT) is None else Kind.FLOAT


def _kind_of_type(column: pa.Array) -> Kind | None:
    """The kind of a column that Arrow found a type for; None if only its texts tell."""
    if pa.types.is_null(column.type):
        return Kind.UNKNOWN
    if pa.types.is_integer(column.type):
        return Kind.INT
    if pa.types.is_floating(column.type):
        numbers = column.drop_null().to_numpy()
        # Arrow reads integers of any length as floats, and more kinds of NaN than Python.
        plain = np.abs(numbers) < 2.0**63
        return Kind.FLOAT if plain.all() else None
    if pa.types.is_boolean(column.type) or pa.types.is_temporal(column.type):
        return Kind.BYTES
    # Text, most of it not even at first sight a number.
    return _kind(scalar.as_py().encode() for scalar in column.drop_null())


def _parsed(column: list[bytes | None], kind: Kind) -> pa.Array:
    """A column of texts, each of which is of the kind."""
    values = [None if text is None else _number(text, kind) for text in column]
    return pa.array(values, _ARROW[kind])


def _feature(column: pa.Array, kind: Kind) -> pa.Array:
    if kind == Kind.UNKNOWN:
        return pa.nulls(len(column))
    if kind == Kind.FLOAT:
        column = table.floats(column)
    return table.lists(column.cast(pa.large_binary()) if kind == Kind.BYTES else column)
