"""Checks of CSV before anything runs: are the columns there, and what every row needs?"""

import csv
import gzip
import itertools
import math
import pathlib
from collections.abc import Callable, Iterator
from typing import TextIO

from pipeline import csv_columns
from pipeline.config import Config
from pipeline.errors import UserError


def columns(config: Config, file: pathlib.Path) -> list[str]:
    """The names in a file's header.

    Raises:
        UserError: there is none, or a name stands twice.
    """
    try:
        with _open_csv(config, file) as lines:
            header = next(csv.reader(lines), [])
    except (UnicodeDecodeError, csv.Error, OSError, EOFError) as error:
        raise UserError(_unreadable(config, file, error)) from None
    repeated = sorted({name for name in header if header.count(name) > 1})
    if not header:
        raise UserError(f"data.path: {file}: is empty; expected a header line and rows")
    if repeated:
        raise UserError(f"data.path: {file}: columns stand twice: {', '.join(repeated)}")
    return header


def mistakes(config: Config, files: list[pathlib.Path], names: list[str]) -> list[str]:
    """What is wrong with the files, a line each; of the rows, the first.

    Args:
        config: the problem.
        files: the table's.
        names: of the first file's columns.
    """
    found = _header_mistakes(config, files, names)
    if found or all(csv_columns.are_well(config, file, names) for file in files):
        return found
    found = next(filter(None, (_row_mistakes(config, file) for file in files)), [])
    return found or _key_mistakes(config, files)


def _header_mistakes(config: Config, files: list[pathlib.Path], names: list[str]) -> list[str]:
    """The files of a table have one header."""
    return [
        f"data.path: {file}:1: the columns are not those of {files[0].name}, in the same order; "
        "give every file the same header"
        for file in files[1:]
        if columns(config, file) != names
    ]


def _row_mistakes(config: Config, file: pathlib.Path) -> list[str]:
    """Looks at every row: as wide as the header, and what is learned, weighed or banded is there.

    A value is checked by the role that its column has. Where bad rows are put aside, ExampleGen
    does so with rows that are torn and, if the schema wants a number, with words.
    """
    seen = 0
    refuse = config.data.on_bad_rows == "refuse"
    words_pass = not refuse and config.data.schema_file is not None
    try:
        with _open_csv(config, file) as lines:
            rows = csv.reader(lines)
            header = next(rows)
            checks = [(header.index(name), name, check) for name, check in _checks(config)]
            for row in _rows(rows, skip_errors=not refuse):
                seen += 1
                where = f"{file}:{rows.line_num}"
                if len(row) != len(header):
                    if not refuse:
                        continue
                    return [
                        f"{where}: found {len(row)} fields, expected {len(header)} as in the header"
                    ]
                for place, name, check in checks:
                    mistake = check(row[place])
                    if mistake and not (words_pass and _is_word(row[place])):
                        return [f"{where}: {name}: {mistake}"]
    except (UnicodeDecodeError, csv.Error, EOFError) as error:
        return [_unreadable(config, file, error)]
    return [] if seen else [f"data.path: {file}: has a header but no rows"]


def _rows(rows: Iterator[list[str]], skip_errors: bool) -> Iterator[list[str]]:
    """The rows that are not blank."""
    while True:
        try:
            row = next(rows, None)
        except csv.Error:
            if not skip_errors:
                raise
            continue
        if row is None:
            return
        if row:
            yield row


def _checks(config: Config) -> list[tuple[str, Callable[[str], str]]]:
    """Columns, and what is wrong with a value of each: a message, or empty text."""
    checks = [(name, _label_mistake(task)) for name, task in config.tasks.items()]
    if config.weight:
        checks.append((config.weight, _weight_mistake))
    if config.splits.key:
        checks.append((config.splits.key, _key_mistake))
    return checks + [(part.column, _band_mistake) for part in config.slices if part.bands]


def _label_mistake(task: str) -> Callable[[str], str]:
    def mistake(value: str) -> str:
        if not value:
            return "the label is empty; remove the row or fill it in"
        if task == "regression" and not _is_number(value):
            return f"found {value!r}, expected a number; choose another label, or task: multiclass"
        return ""

    return mistake


def _weight_mistake(value: str) -> str:
    if not value:
        return "the weight is empty; remove the row or fill it in"
    if not _is_number(value) or float(value) < 0:
        return f"found {value!r}, expected a number from zero up as the weight"
    return ""


def _key_mistake(value: str) -> str:
    return "" if value else "the key is empty; remove the row or fill it in"


def _band_mistake(value: str) -> str:
    if value and not _is_number(value):
        return f"found {value!r}, expected a number; only numbers have bands (slices)"
    return ""


def _key_mistakes(config: Config, files: list[pathlib.Path]) -> list[str]:
    """ExampleGen hashes text and whole numbers; it reads a column as fractional if one value is."""
    if not config.splits.key:
        return []
    fractional = ""
    for file in files:
        with _open_csv(config, file) as lines:
            reader = csv.reader(lines)
            place = next(reader).index(config.splits.key)
            for row in _rows(reader, skip_errors=True):
                value = row[place] if place < len(row) else ""
                if not _is_number(value):
                    return []
                fractional = fractional or ("" if _is_whole(value) else value)
    if not fractional:
        return []
    return [
        f"splits.key: {config.splits.key} holds fractional numbers, as {fractional}; expected text "
        "or whole numbers"
    ]


def _is_word(text: str) -> bool:
    try:
        float(text or 0)
    except ValueError:
        return True
    return False


def _is_whole(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _open_csv(config: Config, file: pathlib.Path) -> TextIO:
    encoding = "utf-8-sig" if config.data.encoding == "utf-8" else config.data.encoding
    # What cannot be read is put aside later, where that is wanted.
    errors = "strict" if config.data.on_bad_rows == "refuse" else "replace"
    opened = gzip.open if file.suffix == ".gz" else open
    return opened(file, "rt", newline="", encoding=encoding, errors=errors)


def _unreadable(config: Config, file: pathlib.Path, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return _undecodable(config, file)
    return f"data.path: {file}: cannot be read: {getattr(error, 'strerror', None) or error}"


def _undecodable(config: Config, file: pathlib.Path) -> str:
    """Where the first value is that is not of the encoding."""
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", newline="", encoding="utf-8", errors="surrogateescape") as lines:
        rows = csv.reader(lines)
        header = next(rows)
        for row in itertools.chain([header], rows):
            for name, value in zip(header, row):
                found = value.encode("utf-8", "surrogateescape")
                if not value.isprintable() and found != value.encode("utf-8", "replace"):
                    where = f"{rows.line_num}: " + (f"{name}: " if row is not header else "")
                    return (
                        f"{file}:{where}found {found.decode('latin-1')!r}, which is not "
                        f"{config.data.encoding}; set data.encoding: latin-1"
                    )
    return f"data.path: {file}: is not {config.data.encoding} text; convert it first"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
