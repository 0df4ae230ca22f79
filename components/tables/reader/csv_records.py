"""Records of CSV files: where they begin and end, without parsing their values.

A line end within quotes is part of a value. A quote opens a quoted value only at the start of a
value; elsewhere in an unquoted value it is an ordinary character, as in Python's `csv` and Arrow.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import BinaryIO, NoReturn

import numpy as np

from components.tables.table import BadTable

LONGEST_RECORD = 64 << 20
"""Bytes after which a quote counts as never closed, before the rest of the file is in memory."""
_WINDOW = 4096
BOM = b"\xef\xbb\xbf"
_QUOTE, _LINE_FEED, _CARRIAGE_RETURN = b'"\n\r'


@dataclasses.dataclass(frozen=True)
class Records:
    """Complete records of a file, one after the other.

    Attributes:
        start: offset of the first one in the file, in bytes.
        line: number of its first line, counted from 1.
        rows: number of records, not counting blank lines.
        data: the bytes of the records.
    """

    start: int
    line: int
    rows: int
    data: bytes

    @functools.cached_property
    def spans(self) -> tuple[np.ndarray, np.ndarray]:
        """The offsets in `data` at which records begin and end, without blank lines."""
        ends = _ends(self.data)
        is_row = ~_is_blank(self.data, ends)
        return _starts(ends)[is_row], ends[is_row]

    @property
    def contents(self) -> list[bytes]:
        """The bytes of each record, without blank lines."""
        starts, ends = self.spans
        return [self.data[start:end] for start, end in zip(starts.tolist(), ends.tolist())]

    @functools.cached_property
    def lines(self) -> np.ndarray:
        """The number of each record's first line."""
        line_ends = np.flatnonzero(np.frombuffer(self.data, np.uint8) == _LINE_FEED)
        return self.line + np.searchsorted(line_ends, self.spans[0])


def encoding_advice(encoding: str) -> str:
    """Returns what to do about bytes that the encoding cannot decode."""
    return "set data.encoding: latin-1" if encoding == "utf-8" else "correct the file"


def rows(file: BinaryIO, size: int, path: str) -> Iterator[Records]:
    """Yields the records of an open file, without the header. See `blocks`."""
    header_seen = False
    for block in blocks(file, size, path):
        if header_seen or not block.rows:
            yield block
            continue
        header_seen = True
        end = int(block.spans[1][0])
        rest = block.data[end:]
        if rest:
            lines = block.data.count(b"\n", 0, end)
            yield Records(block.start + end, block.line + lines, block.rows - 1, rest)


def blocks(file: BinaryIO, size: int, path: str) -> Iterator[Records]:
    """Cuts an open file into blocks of complete records of about `size` bytes.

    Raises:
        BadTable: a quote is not closed within `LONGEST_RECORD` bytes, or lines end with CR alone.
    """
    start, line, rest = 0, 1, b""
    while True:
        # Doubling the length of a long record keeps the total time linear in it.
        read = file.read(max(size, len(rest)))
        data = rest + read
        if not data:
            return
        ends = _ends(data, last=not read)
        cut = int(ends[-1]) if len(ends) else 0
        if (not read and cut < len(data)) or len(data) - cut > LONGEST_RECORD:
            _refuse_open_quote(path, line + data.count(b"\n", 0, cut), data[cut:])
        if cut:
            block = data[:cut]
            row_count = len(ends) - int(_is_blank(block, ends).sum())
            yield Records(start, line, row_count, block)
            start += cut
            line += block.count(b"\n")
        rest = data[cut:]
        if not read:
            return


def check_line_ends(path: str, data: bytes) -> None:
    """Raises `BadTable` if lines end with CR alone, as old Macs wrote them."""
    if b"\r" in data and b"\n" not in data:
        raise BadTable(f"{path}: lines end with CR alone; convert them (tr '\\r' '\\n')")


def _refuse_open_quote(path: str, line: int, record: bytes) -> NoReturn:
    """Raises an error that says why the end of a record was not found."""
    if line == 1:
        check_line_ends(path, record)
    raise BadTable(
        f"{path}:{line}: a quoted value that begins in this row is never closed; close it, and "
        "double any quote inside it"
    )


def _ends(data: bytes, last: bool = True) -> np.ndarray:
    """Returns the offsets at which records end, after their line ends.

    Args:
        data: bytes that begin at the start of a record.
        last: whether the file ends after them, so that the last record needs no line end.
    """
    characters = np.frombuffer(data, np.uint8)
    line_ends = np.flatnonzero(characters == _LINE_FEED)
    open_at_end = False
    if b'"' in data:
        quotes = _quotes(characters)
        within = np.searchsorted(quotes, line_ends) % 2 == 1
        line_ends = line_ends[~within]
        open_at_end = len(quotes) % 2 == 1
    ends = line_ends + 1
    if last and not open_at_end and data and (not len(ends) or ends[-1] < len(data)):
        ends = np.append(ends, len(data))
    return ends


def _quotes(characters: np.ndarray) -> np.ndarray:
    """Returns the offsets of quotes that alternately open and close values, and of no others."""
    quotes = np.flatnonzero(characters == _QUOTE)
    before = characters[np.maximum(quotes - 1, 0)]
    begins = (before == ord(",")) | (before == _LINE_FEED) | (before == _CARRIAGE_RETURN)
    begins |= quotes == (len(BOM) if characters[: len(BOM)].tobytes() == BOM else 0)
    # A quote right after a closing one is the second half of an escaped quote within a value.
    doubled = np.zeros(len(quotes), bool)
    doubled[1:] = quotes[1:] == quotes[:-1] + 1
    opens = begins | doubled
    kept: list[np.ndarray] = []
    index = 0
    while index < len(quotes):
        window = opens[index : index + _WINDOW : 2]
        wrong = int(window.argmin())
        if window[wrong]:
            kept.append(quotes[index : index + _WINDOW])
            index += _WINDOW
            continue
        kept.append(quotes[index : index + 2 * wrong])
        index += 2 * wrong + 1
        if index < len(quotes):
            # The quote before was an ordinary character, so this is not its second half.
            opens[index] = begins[index]
    return np.concatenate(kept) if kept else quotes[:0]


def _starts(ends: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], ends[:-1]])


def _is_blank(data: bytes, ends: np.ndarray) -> np.ndarray:
    """Returns a mask of the records that are blank lines."""
    characters = np.frombuffer(data, np.uint8)
    starts = _starts(ends)
    lengths = ends - starts
    first = characters[starts]
    blank = (lengths == 1) & ((first == _LINE_FEED) | (first == _CARRIAGE_RETURN))
    return blank | ((lengths == 2) & (first == _CARRIAGE_RETURN))
