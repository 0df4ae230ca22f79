"""Headers of CSV files: reads them, and refuses first lines that are not headers."""

import collections
import contextlib
import csv
from collections.abc import Iterator, Sequence

from components.tables import table, table_files
from components.tables.reader import csv_records
from components.tables.table import BadTable

_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "pipes"}


def common(files: Sequence[str], encoding: str) -> tuple[str, ...]:
    """Returns the common header of all files, ignoring empty files, as Spark writes some.

    Raises:
        BadTable: all files are empty, their headers differ, or see `header`.
    """
    headers = {file: header(file, encoding) for file in files}
    headers = {file: names for file, names in headers.items() if names}
    if not headers:
        raise BadTable(f"{files[0]}: is empty; expected a header line and rows")
    first, names = next(iter(headers.items()))
    for file, other in headers.items():
        if other != names:
            raise BadTable(
                f"{file}:1: the header differs from that of {first}; give every file the same "
                "columns in the same order"
            )
    return tuple(names)


def header(path: str, encoding: str) -> list[str]:
    """Reads the names of a file's columns; returns an empty list if the file is empty.

    Raises:
        BadTable: the file is not a CSV, or its header cannot be read.
    """
    table_files.check_kind(path, "csv")
    with table_files.open_file(path) as file:
        first = next(csv_records.blocks(file, 1 << 16, path), None)
    if first is None:
        return []
    csv_records.check_line_ends(path, first.data)
    # Two more records tell whether the first one is a header.
    lines = first.contents[:3]
    if not lines:
        return []
    location = f"{path}:{first.lines[0]}"
    try:
        names = _fields(lines[0], encoding)
    except UnicodeDecodeError:
        raise BadTable(
            f"{location}: the header is not {encoding}; {csv_records.encoding_advice(encoding)}"
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
    text = line.removeprefix(csv_records.BOM)
    return next(csv.reader([text.decode(encoding)]), [])


def _check_commas(location: str, lines: Sequence[bytes]) -> None:
    """Raises if the first lines show that something other than commas separates the columns."""
    if lines[0].removeprefix(csv_records.BOM).lower().startswith(b"sep="):
        raise BadTable(
            f"{location}: begins with Excel's sep= line; remove it, and separate the columns by "
            "commas"
        )
    commas = lines[0].count(b",")
    for separator, name in _SEPARATORS.items():
        counts = {line.count(separator.encode()) for line in lines}
        if len(counts) == 1 and counts.pop() > commas:
            raise BadTable(
                f"{location}: the columns are separated by {name}; only commas are supported: "
                "write the table with commas"
            )


def _check_names(location: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Raises if the first line is not a header: names are missing or repeated."""
    widths = {len(row) for row in rows}
    if len(rows) == 2 and len(widths) == 1 and len(names) < max(widths):
        raise BadTable(
            f"{location}: has {table.counted(len(names), 'name')}, but the next rows have "
            f"{table.counted(max(widths), 'field')}; the first line must be the header: remove a "
            "title above it, or name every column"
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
