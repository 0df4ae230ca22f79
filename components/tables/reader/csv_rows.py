"""Parses CSV rows one at a time, to find which of them are bad, and why."""

import csv
import dataclasses
from collections.abc import Sequence

from components.tables import cell_values, column_kinds, table
from components.tables.column_kinds import Kind, Kinds
from components.tables.reader import csv_records
from components.tables.reader.csv_records import Records
from components.tables.table import BadRow, Reading

_NUL = "\ufdd0"  # a noncharacter, which `csv` accepts, unlike NUL


@dataclasses.dataclass(frozen=True)
class ParsedRows:
    """The rows of a block.

    Attributes:
        columns: texts of the good rows by column; None where a value is missing.
        lines: number of the line on which each good row begins.
        bad: the bad rows.
    """

    columns: list[list[str | None]]
    lines: list[int]
    bad: list[BadRow]


@dataclasses.dataclass(frozen=True)
class RowParser:
    """Parser of single records.

    Attributes:
        names: names of the columns.
        reading: see `table.Reading`.
    """

    names: Sequence[str]
    reading: Reading

    def parse(self, records: Records, file: str, kinds: Kinds) -> ParsedRows:
        """Parses records; a row whose values do not fit the kinds of their columns is bad."""
        csv.field_size_limit(csv_records.LONGEST_RECORD)
        missing = {"", *self.reading.missing}
        rows: list[list[str | None]] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        for line, record in zip(records.lines.tolist(), records.contents):
            row, column, reason = self._row(record, kinds)
            if reason:
                content = record.decode(self.reading.encoding, "backslashreplace").rstrip("\r\n")
                bad.append(BadRow(file, line, column, reason, content))
            else:
                rows.append([None if value in missing else value for value in row])
                lines.append(line)
        columns = [list(column) for column in zip(*rows)] if rows else [[] for _ in self.names]
        return ParsedRows(columns, lines, bad)

    def _row(self, record: bytes, kinds: Kinds) -> tuple[list[str], str, str]:
        """Returns a record's values and, if it is bad, the column at fault and the reason."""
        # Undecodable bytes are reported below, with the column that has them.
        text = record.decode(self.reading.encoding, "surrogateescape")
        try:
            row = next(csv.reader([text.replace("\0", _NUL)]), [])
        except csv.Error as error:
            return [], "", f"cannot be read: {error}: {table.shown(text)}"
        if len(row) != len(self.names):
            count = table.counted(len(row), "field")
            details = f"found {count}, expected {len(self.names)} as in the header"
            return row, "", f"{details}: {table.shown(text.strip())}"
        for name, value in zip(self.names, row):
            if reason := self._reason(name, value, kinds):
                return row, name, reason
        return row, "", ""

    def _reason(self, name: str, value: str, kinds: Kinds) -> str:
        """Returns what is wrong with a value; empty if it is good."""
        encoding = self.reading.encoding
        if not _is_text(value):
            shown = table.shown(value.encode("utf-8", "surrogateescape").decode("latin-1"))
            advice = csv_records.encoding_advice(encoding)
            return f"found {shown}, which is not {encoding}; {advice}"
        if _NUL in value:
            shown = table.shown(value.replace(_NUL, "\0"))
            return f"found {shown}, which contains a NUL character; remove it"
        kind = kinds.get(name, Kind.BYTES)
        if kind in column_kinds.EXPECTED and value not in self.reading.missing:
            try:
                cell_values.parse_number(value, kind)
            except cell_values.NotANumber:
                return f"found {table.shown(value)}, expected {column_kinds.EXPECTED[kind]}"
        return ""


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True
