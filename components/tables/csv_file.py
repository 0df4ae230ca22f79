"""Headers and records of CSV files: where records begin and end, without parsing their values.

A line end within quotes is part of a value. A quote opens a quoted value only at the start of a
value; elsewhere in an unquoted value it is an ordinary character, as in Python's `csv` and Arrow.
"""

import collections
import contextlib
import csv
import dataclasses
from collections.abc import Iterator, Sequence
from typing import BinaryIO

import numpy as np

from components.tables import table_files
from components.tables.table import BadTable

LONGEST_RECORD = 64 << 20
_WINDOW = 4096
_BOM = b"\xef\xbb\xbf"
_QUOTE, _LINE_FEED, _CARRIAGE_RETURN = b'"\n\r'


@dataclasses.dataclass(frozen=True)
class Block:
    """A block of complete records.

    Attributes:
        start: offset of the block in the file, in bytes.
        line: number of its first line, counted from 1.
        rows: number of records, not counting blank lines.
        data: content of the block.
    """

    start: int
    line: int
    rows: int
    data: bytes


def header(path: str, encoding: str) -> list[str]:
    """Reads the names of a file's columns; returns an empty list if the file is empty.

    Raises:
        BadTable: the file is not a CSV, or its header cannot be read.
    """
    table_files.check_kind(path, "csv")
    with table_files.open_file(path) as file:
        first = next(blocks(file, 1 << 16, path), None)
    if first is None:
        return []
    if _has_only_returns(first.data):
        raise BadTable(_only_returns(path))
    ends = record_ends(first.data)
    full = np.flatnonzero(~is_blank(first.data, ends))
    starts = np.concatenate([[0], ends[:-1]])
    # Two more records tell whether the first one is a header.
    lines = [first.data[starts[index] : ends[index]] for index in full[:3]]
    if not lines:
        return []
    line = first.line + first.data.count(b"\n", 0, int(starts[full[0]]))
    location = f"{path}:{line}"
    try:
        names = _fields(lines[0], encoding)
    except UnicodeDecodeError:
        raise BadTable(
            f"{location}: the header is not {encoding}; {of_encoding(encoding)}"
        ) from None
    except csv.Error as error:
        raise BadTable(f"{location}: the header cannot be read: {error}") from None
    _check_commas(location, lines)
    _check_names(location, names, list(_readable(lines[1:])))
    return names


def _readable(lines: Sequence[bytes]) -> Iterator[list[str]]:
    """Yields the fields of readable records; the others are reported when the rows are read."""
    for line in lines:
        with contextlib.suppress(csv.Error):
            yield _fields(line, "latin-1")


def _fields(line: bytes, encoding: str) -> list[str]:
    text = line.removeprefix(_BOM)
    return next(csv.reader([text.decode(encoding)]), [])


_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "pipes"}


def _check_commas(location: str, lines: Sequence[bytes]) -> None:
    """Raises if the first lines show that something other than commas separates the columns."""
    if lines[0].removeprefix(_BOM).lower().startswith(b"sep="):
        raise BadTable(
            f"{location}: begins with Excel's sep= line; remove it, and separate the columns by "
            "commas"
        )
    commas = lines[0].count(b",")
    for separator, name in _SEPARATORS.items():
        counts = {line.count(separator.encode()) for line in lines}
        if len(counts) == 1 and counts.pop() > commas:
            raise BadTable(
                f"{location}: the columns are separated by {name}; only commas are read: write the "
                "table with commas"
            )


def _check_names(location: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Raises if the first line is not a header: names are missing or repeated."""
    widths = {len(row) for row in rows}
    if len(rows) == 2 and len(widths) == 1 and len(names) < max(widths):
        raise BadTable(
            f"{location}: has {counted(len(names), 'name')}, but the next rows have "
            f"{counted(max(widths), 'field')}; the first line must be the header: remove a title "
            "above it, or name every column"
        )
    unnamed = [str(position) for position, name in enumerate(names, 1) if not name.strip()]
    if len(unnamed) == 1:
        raise BadTable(
            f"{location}: column {unnamed[0]} has no name; name it, or leave it out (pandas: "
            "to_csv(index=False))"
        )
    if unnamed:
        raise BadTable(
            f"{location}: columns {', '.join(unnamed)} have no name; name them, or remove a title "
            "above the header"
        )
    if len(set(names)) < len(names):
        name = next(name for name, count in collections.Counter(names).items() if count > 1)
        positions = [str(position) for position, other in enumerate(names, 1) if other == name]
        raise BadTable(
            f"{location}: columns {', '.join(positions)} are all called {name}; rename all but one"
        )


def counted(count: int, noun: str) -> str:
    """Returns a count and what is counted: `1 row`, `2 rows`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def of_encoding(encoding: str) -> str:
    """Returns what to do about bytes that the encoding cannot decode."""
    return "set data.encoding: latin-1" if encoding == "utf-8" else "mend the file"


def records(file: BinaryIO, size: int, path: str) -> Iterator[Block]:
    """Yields the blocks of an open file, without the header. See `blocks`."""
    seen = False
    for block in blocks(file, size, path):
        if seen or not block.rows:
            yield block
            continue
        seen = True
        ends = record_ends(block.data)
        end = int(ends[np.flatnonzero(~is_blank(block.data, ends))[0]])
        rest = block.data[end:]
        if rest:
            lines = block.data.count(b"\n", 0, end)
            yield Block(block.start + end, block.line + lines, block.rows - 1, rest)


def blocks(file: BinaryIO, size: int, path: str) -> Iterator[Block]:
    """Cuts an open file into blocks of complete records of about `size` bytes.

    Raises:
        BadTable: a quote is not closed, or not within `LONGEST_RECORD` bytes; or lines end with CR
            alone.
    """
    start, line, rest = 0, 1, b""
    while True:
        # Doubling the length of a long record keeps the total time linear in it.
        read = file.read(max(size, len(rest)))
        data = rest + read
        if not data:
            return
        ends = record_ends(data, last=not read)
        cut = int(ends[-1]) if len(ends) else 0
        if not read and cut < len(data):
            raise BadTable(_unended(path, line + data.count(b"\n", 0, cut), data[cut:]))
        if len(data) - cut > LONGEST_RECORD:
            raise BadTable(_unended(path, line + data.count(b"\n", 0, cut), data[cut:]))
        if cut:
            block = data[:cut]
            yield Block(start, line, _count(block, ends), block)
            start += cut
            line += block.count(b"\n")
        rest = data[cut:]
        if not read:
            return


def _has_only_returns(data: bytes) -> bool:
    return b"\r" in data and b"\n" not in data


def _only_returns(path: str) -> str:
    return f"{path}: lines end with CR alone; convert them (tr '\\r' '\\n')"


def _unended(path: str, line: int, record: bytes) -> str:
    """Returns what is wrong with a record that does not end."""
    if line == 1 and _has_only_returns(record):
        return _only_returns(path)
    return (
        f"{path}:{line}: the quotes of a value that begins in this row are not closed; close them, "
        "and write a quote within quotes twice"
    )


def record_ends(data: bytes, last: bool = True) -> np.ndarray:
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
    begins |= quotes == (len(_BOM) if characters[: len(_BOM)].tobytes() == _BOM else 0)
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


def _count(data: bytes, ends: np.ndarray) -> int:
    return len(ends) - int(is_blank(data, ends).sum())


def is_blank(data: bytes, ends: np.ndarray) -> np.ndarray:
    """Returns a mask of the records that are blank lines."""
    characters = np.frombuffer(data, np.uint8)
    starts = np.concatenate([[0], ends[:-1]])
    lengths = ends - starts
    first = characters[starts]
    blank = (lengths == 1) & ((first == _LINE_FEED) | (first == _CARRIAGE_RETURN))
    return blank | ((lengths == 2) & (first == _CARRIAGE_RETURN))
