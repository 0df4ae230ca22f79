"""The profile of a table, from one pass over its files: kinds, gaps, ranges and odd values."""

import dataclasses
from collections.abc import Mapping, Sequence

from components.tables.bad_rows import BadRows
from components.tables.column_profile import ColumnProfile, Wanted
from components.tables.column_profiler import ColumnProfiler
from components.tables.table import BadRow, Piece, Table


@dataclasses.dataclass(frozen=True)
class TableProfile:
    """The profile of a table.

    Attributes:
        rows: number of good rows.
        columns: profiles of the columns by name, in the table's order.
        bad_rows: number of rows that cannot be read.
        first_bad: the first such row.
        dates: columns whose type is a date.
        notes: what the reader decided for the user, one line each.
    """

    rows: int
    columns: Mapping[str, ColumnProfile]
    bad_rows: int = 0
    first_bad: BadRow | None = None
    dates: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def profile(
    table: Table,
    files: Sequence[str],
    wanted: Mapping[str, Wanted],
    stop_at_bad_row: bool = False,
) -> TableProfile:
    """Profiles a table in one pass over its rows.

    Args:
        table: the table; not TFRecords, which are not profiled.
        files: files of the table.
        wanted: what else to find out about columns, by name.
        stop_at_bad_row: whether to stop after the first block with a row that cannot be read.

    Raises:
        BadTable: a file cannot be read.
    """
    texts = {name for name, spec in wanted.items() if spec.as_text}
    columns: dict[str, ColumnProfiler] = {}
    rows, bad = 0, BadRows()
    for block in (block for file in files for block in table.blocks(Piece.whole(file))):
        scan = block.scan(texts)
        for name, values in scan.columns.items():
            if name not in columns:
                columns[name] = ColumnProfiler(name, wanted.get(name, Wanted()))
            columns[name].add(values, scan)
            if columns[name].is_text:
                texts.add(name)
        rows += len(next(iter(scan.columns.values()))) if scan.columns else 0
        bad.add(scan.bad)
        if bad.count and stop_at_bad_row:
            break
    profiles = {name: column.profile(rows) for name, column in columns.items()}
    dates, notes = frozenset(table.dates), tuple(table.notes)
    return TableProfile(rows, profiles, bad.count, bad.first, dates, notes)
