"""Where the records of a CSV file end.

A line end within quotes is part of a value. A quote opens a quoted value only where a value begins;
within an unquoted value it is a character like others, as for Python's `csv` and for Arrow.
"""

import csv
import dataclasses
import gzip
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from components.tables.table import BadTable

LONGEST_RECORD = 64 << 20
_WINDOW = 4096
_BOM = b"\xef\xbb\xbf"
_QUOTE, _LINE_FEED, _CARRIAGE_RETURN = b'"\n\r'


@dataclasses.dataclass(frozen=True)
class Block:
    """Whole records.

    Attributes:
        start: the block's first byte in the file.
        line: the number of its first line.
        rows: how many records it has; lines without anything do not count.
        data: its bytes.
    """

    start: int
    line: int
    rows: int
    data: bytes


def is_zipped(path: str) -> bool:
    """Whether a file is gzipped, by its name."""
    return path.endswith(".gz")


def open_file(path: str) -> BinaryIO:
    """Opens a file, zipped or not, on any file system that Beam knows."""
    if "://" not in path:
        return gzip.open(path) if is_zipped(path) else open(path, "rb")  # type: ignore[return-value]
    # Seconds of imports, which a table on this machine need not wait for.
    from apache_beam.io import filesystems

    return filesystems.FileSystems.open(path)


def header(path: str, encoding: str) -> list[str]:
    """The names of a file's columns.

    Raises:
        BadTable: the file is empty, or has no header that can be read.
    """
    with open_file(path) as file:
        first = next(blocks(file, 1 << 16, path), None)
    if first is None:
        raise BadTable(f"{path}: is empty; expected a header line and rows")
    line = first.data[: record_ends(first.data)[0]].removeprefix(_BOM)
    try:
        names = next(csv.reader([line.decode(encoding)]), [])
    except UnicodeDecodeError:
        raise BadTable(f"{path}:1: the header is not {encoding}; {of_encoding(encoding)}") from None
    except csv.Error as error:
        raise BadTable(f"{path}:1: the header cannot be read: {error}") from None
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise BadTable(f"{path}:1: columns stand twice: {', '.join(repeated)}")
    if not names:
        raise BadTable(f"{path}:1: is empty; expected the names of the columns")
    return names


def of_encoding(encoding: str) -> str:
    """What to do about bytes that are not of the encoding."""
    return "set data.encoding: latin-1" if encoding == "utf-8" else "mend the file"


def records(file: BinaryIO, size: int, path: str) -> Iterator[Block]:
    """The blocks of an open file, without its header."""
    for block in blocks(file, size, path):
        if block.start:
            yield block
            continue
        end = int(record_ends(block.data)[0])
        rest = block.data[end:]
        if rest:
            lines = block.data.count(b"\n", 0, end)
            yield Block(end, block.line + lines, block.rows - 1, rest)


def blocks(file: BinaryIO, size: int, path: str) -> Iterator[Block]:
    """Cuts an open file into blocks of about so many bytes, between its records.

    Raises:
        BadTable: a quote is not closed, or not within a length that no record has.
    """
    start, line, rest = 0, 1, b""
    while True:
        read = file.read(size)
        data = rest + read
        if not data:
            return
        ends = record_ends(data, last=not read)
        cut = int(ends[-1]) if len(ends) else 0
        if not read and cut < len(data):
            raise BadTable(_unclosed(path, line + data.count(b"\n", 0, cut)))
        if len(data) - cut > LONGEST_RECORD:
            raise BadTable(_unclosed(path, line + data.count(b"\n", 0, cut)))
        if cut:
            block = data[:cut]
            yield Block(start, line, _count(block, ends), block)
            start += cut
            line += block.count(b"\n")
        rest = data[cut:]
        if not read:
            return


def _unclosed(path: str, line: int) -> str:
    return (
        f"{path}:{line}: the quotes of a value that begins in this row are not closed; close them, "
        "and write a quote within quotes twice"
    )


def record_ends(data: bytes, last: bool = True) -> np.ndarray:
    """Where records end, behind their line ends.

    Args:
        data: bytes from the start of a record on.
        last: whether the file ends with them, and so its last record does.
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
    """The quotes that open and close values in turn; those within unquoted values are left out."""
    quotes = np.flatnonzero(characters == _QUOTE)
    before = characters[np.maximum(quotes - 1, 0)]
    begins = (before == ord(",")) | (before == _LINE_FEED) | (before == _CARRIAGE_RETURN)
    begins |= quotes == (len(_BOM) if characters[: len(_BOM)].tobytes() == _BOM else 0)
    # A quote right behind one that closes is the second half of a quote within a value.
    doubled = np.zeros(len(quotes), bool)
    doubled[1:] = quotes[1:] == quotes[:-1] + 1
    opens = begins | doubled
    kept: list[np.ndarray] = []
    place = 0
    while place < len(quotes):
        window = opens[place : place + _WINDOW : 2]
        wrong = int(window.argmin())
        if window[wrong]:
            kept.append(quotes[place : place + _WINDOW])
            place += _WINDOW
            continue
        kept.append(quotes[place : place + 2 * wrong])
        place += 2 * wrong + 1
        if place < len(quotes):
            # What follows a character that only looks like a quote is not the second half of one.
            opens[place] = begins[place]
    return np.concatenate(kept) if kept else quotes[:0]


def _count(data: bytes, ends: np.ndarray) -> int:
    return len(ends) - int(is_blank(data, ends).sum())


def is_blank(data: bytes, ends: np.ndarray) -> np.ndarray:
    """Which records are lines without anything."""
    characters = np.frombuffer(data, np.uint8)
    starts = np.concatenate([[0], ends[:-1]])
    lengths = ends - starts
    first = characters[starts]
    blank = (lengths == 1) & ((first == _LINE_FEED) | (first == _CARRIAGE_RETURN))
    return blank | ((lengths == 2) & (first == _CARRIAGE_RETURN))
