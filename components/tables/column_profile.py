"""The profile of a column: what its values are, which are missing or odd, and where."""

import dataclasses
import math
from collections.abc import Mapping

from components.tables.column_kinds import Held, Kind

MOST_VALUES = 10_000
"""Limit on the distinct values of a column; beyond it, their counts are dropped."""

FAR = 1e37
"""Near the largest 32-bit float, 3.4e38, sums of a few numbers overflow."""


@dataclasses.dataclass(frozen=True)
class Sighting:
    """A value, as text, and the file and line (in Parquet: row) where it first occurs."""

    value: str
    location: str


@dataclasses.dataclass(frozen=True)
class Misfits:
    """The rows of a column whose values are of one sort, usually an unwanted one.

    Attributes:
        count: number of rows with such a value.
        first: where the first one occurs.
    """

    count: int
    first: Sighting


@dataclasses.dataclass(frozen=True)
class Wanted:
    """Details to find out about a column, in addition to what every profile has.

    Attributes:
        located: whether to locate the extremes, the first gap and the first infinity, and to
            compute mean and deviation.
        values: whether to count each distinct value, as text.
        pattern: regular expression (RE2) that whole texts must match; the others are misfits.
    """

    located: bool = False
    values: bool = False
    pattern: str = ""

    def __or__(self, other: "Wanted") -> "Wanted":
        """Returns the union of both; of two patterns, the first."""
        return Wanted(
            self.located or other.located,
            self.values or other.values,
            self.pattern or other.pattern,
        )

    @property
    def as_text(self) -> bool:
        """Whether the column has to be read as text."""
        return self.values or bool(self.pattern)


@dataclasses.dataclass(frozen=True)
class ColumnProfile:
    """The profile of a column.

    Attributes:
        name: name of the column.
        held: what its values are.
        is_list: whether it holds lists.
        rows: number of rows of the table.
        missing: number of rows without a value.
        not_finite: number of infinities; NaN counts as missing.
        low, high: smallest and largest finite number; NaN if there are no numbers.
        mean, deviation: of the finite numbers, if `Wanted.located`; otherwise NaN.
        words: values that are not numbers.
        figures: words that look like numbers to a person, such as `$1,234` and `12,5`.
        is_text: whether most values are words; words and figures are then counted in part.
        is_boolean: whether all values are `true` or `false` in one spelling (`True`, `TRUE`), as
            in columns that SchemaGen infers to be boolean.
        misfits: values that do not match `Wanted.pattern`.
        first_gap, first_not_finite, low_at, high_at: where these occur, if `Wanted.located`; an
            extreme beyond `FAR` is located in any column.
        values: rows and first location of each distinct value, by text, if `Wanted.values` and
            there are at most `MOST_VALUES`.
    """

    name: str
    held: Held
    is_list: bool
    rows: int
    missing: int
    not_finite: int = 0
    low: float = math.nan
    high: float = math.nan
    mean: float = math.nan
    deviation: float = math.nan
    words: Misfits | None = None
    figures: Misfits | None = None
    is_text: bool = False
    is_boolean: bool = False
    misfits: Misfits | None = None
    first_gap: str = ""
    first_not_finite: Sighting | None = None
    low_at: str = ""
    high_at: str = ""
    values: Mapping[str, Misfits] | None = None

    @property
    def kind(self) -> Kind:
        """The kind that ingestion will infer for the column."""
        return self.held.kind

    @property
    def present(self) -> int:
        """The number of rows with a value."""
        return self.rows - self.missing
