"""Rows of a table that cannot be read: counting them, and refusing too many."""

import dataclasses
from collections.abc import Sequence

from components.tables.table import BadRow, BadTable

ADVICE = "fix the row, or set data.on_bad_rows: quarantine to leave it out"
"""What to do about a bad row."""


@dataclasses.dataclass
class BadRows:
    """Counts bad rows and keeps the first."""

    count: int = 0
    first: BadRow | None = None

    def add(self, rows: Sequence[BadRow]) -> None:
        """Adds the bad rows of a block."""
        self.count += len(rows)
        self.first = self.first or next(iter(rows), None)


def check_share(count: int, rows: int, most: float, first: BadRow | str | None) -> None:
    """Raises `BadTable` if the share of bad rows, `count` of `rows`, is larger than `most`."""
    if count > most * rows:
        raise BadTable(
            f"{count} of {rows} rows cannot be read, more than data.max_bad_share ({most:g}); "
            f"fix them or raise it; the first is {first}"
        )
