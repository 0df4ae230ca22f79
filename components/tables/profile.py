"""The profile of a table, from one pass over its files: kinds, gaps, ranges and odd values."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.tables.table import BadRow, Held, Kind, Scan, TableSource
from models.features import text_values as values_lib

MOST_VALUES = 10_000
"""Limit on the distinct values of a column; beyond it, their counts are dropped."""

_NUMBER = r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*$"
# `1,234`, `1.234,5`, `$12.50`, `12,5`, `7 %`, `(3.50)`, `3.5-`, `1.5D+02`, and numbers with a
# typographic minus or space: numbers to a person, but text to the readers.
_FIGURE = (
    r"^[\s\x{a0}\x{202f}]*[(]?[-+\x{2212}\x{2013}]?[$€£¥]?[\s\x{a0}]*"
    r"([0-9]{1,3}([ ,.'_\x{a0}\x{202f}][0-9]{3})+|[0-9]+)([.,][0-9]*)?([dD][+-]?[0-9]+)?"
    r"[\s\x{a0}]*[%$€£¥]?[-)]?[\s\x{a0}]*$"
)
_FEW = 100
"""A column is text if it has at least this many words, and more of them than numbers."""


@dataclasses.dataclass(frozen=True)
class Sighting:
    """A value, as text, and the file and line (in Parquet: row) where it first occurs."""

    value: str
    place: str


@dataclasses.dataclass(frozen=True)
class Misfits:
    """Values of a column that are of one sort, usually an unwanted one.

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
        places: whether to locate the extremes, the first gap and the first infinity, and to compute
            mean and deviation.
        values: whether to count each distinct value, as text.
        pattern: regular expression (RE2) that whole texts must match; the others are misfits.
    """

    places: bool = False
    values: bool = False
    pattern: str = ""

    def __or__(self, other: "Wanted") -> "Wanted":
        """Returns the union of both; of two patterns, the first."""
        return Wanted(
            self.places or other.places,
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
        mean, deviation: of the finite numbers, if `Wanted.places`; otherwise NaN.
        words: values that are not numbers.
        figures: words that look like numbers to a person, such as `$1,234` and `12,5`.
        is_text: whether most values are words; words and figures are then not counted to the end.
        is_truth: whether all values are `true` or `false` in one spelling (`True`, `TRUE`), which
            SchemaGen takes for a boolean.
        misfits: values that do not match `Wanted.pattern`.
        first_gap, first_not_finite, low_at, high_at: where these occur, if `Wanted.places`; an
            extreme beyond `FAR` is located in any column.
        values: rows and first place of each distinct value, by text, if `Wanted.values` and there
            are at most `MOST_VALUES`.
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
    is_truth: bool = False
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
    source: TableSource,
    files: Sequence[str],
    wanted: Mapping[str, Wanted],
    stop_at_bad_row: bool = False,
) -> TableProfile:
    """Profiles a table in one pass over its rows.

    Args:
        source: reader of the files.
        files: files of the table.
        wanted: what else to find out about columns, by name.
        stop_at_bad_row: whether to stop after the first block with a row that cannot be read.

    Raises:
        BadTable: a file cannot be read.
    """
    texts = {name for name, spec in wanted.items() if spec.as_text}
    columns: dict[str, _Column] = {}
    rows = bad_rows = 0
    first_bad: BadRow | None = None
    for scan in (scan for file in files for scan in source.scan(file, texts)):
        for name, values in scan.columns.items():
            if name not in columns:
                columns[name] = _Column(name, wanted.get(name, Wanted()))
            columns[name].add(values, scan)
            if columns[name].is_text:
                texts.add(name)
        rows += len(next(iter(scan.columns.values()))) if scan.columns else 0
        bad_rows += len(scan.bad)
        first_bad = first_bad or next(iter(scan.bad), None)
        if first_bad and stop_at_bad_row:
            break
    profiles = {name: column.profile(rows) for name, column in columns.items()}
    dates, notes = frozenset(source.dates), tuple(source.notes)
    return TableProfile(rows, profiles, bad_rows, first_bad, dates, notes)


class _Column:
    """Accumulates the profile of a column, some rows at a time."""

    def __init__(self, name: str, wanted: Wanted):
        self.is_text = False
        self._name = name
        self._wanted = wanted
        self._held = Held.NOTHING
        self._is_list = False
        self._missing = self._not_finite = 0
        self._moments = _Moments()
        self._low, self._high = math.inf, -math.inf
        self._is_truth = True
        self._truths: set[str] = set()
        self._places: dict[str, str] = {}
        self._first_not_finite: Sighting | None = None
        self._words = _Counted()
        self._figures = _Counted()
        self._misfits = _Counted()
        self._values: dict[str, _Counted] | None = {} if wanted.values else None

    def add(self, column: pa.Array, scan: Scan) -> None:
        self._held |= scan.held[self._name]
        self._missing += column.null_count
        if column.null_count and self._wanted.places:
            row = pc.index(column.is_null(), True).as_py()
            self._places.setdefault("first_gap", scan.place_of(row))
        if pa.types.is_null(column.type):
            return
        if pa.types.is_nested(column.type) or pa.types.is_fixed_size_list(column.type):
            self._is_list = True
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            self._add_numbers(column, scan)
        elif self._wanted.as_text or not self.is_text or self._is_truth:
            self._add_texts(column, scan)

    def _add_numbers(self, column: pa.Array, scan: Scan) -> None:
        if pa.types.is_floating(column.type):
            finite = pc.is_finite(column)
            # Nulls count as neither true nor false.
            wrong = finite.false_count
            if wrong:
                missing = pc.sum(pc.is_nan(column)).as_py()
                self._missing += missing
                self._not_finite += wrong - missing
                if self._first_not_finite is None and self._wanted.places:
                    row = pc.index(finite, False).as_py()
                    location = scan.place_of(row)
                    self._first_not_finite = Sighting(str(column[row].as_py()), location)
                column = pc.if_else(finite, column, None)
        if column.null_count == len(column):
            return
        ends = pc.min_max(column).as_py()
        low, high = float(ends["min"]), float(ends["max"])
        if low < self._low:
            self._low = low
            self._place_extreme("low_at", ends["min"], column, scan)
        if high > self._high:
            self._high = high
            self._place_extreme("high_at", ends["max"], column, scan)
        if self._wanted.places:
            self._moments.add(column.drop_null().to_numpy().astype(np.float64))

    def _place_extreme(self, key: str, value: float, column: pa.Array, scan: Scan) -> None:
        if self._wanted.places or abs(value) > FAR:
            self._places[key] = scan.place_of(pc.index(column, value).as_py())

    def _add_texts(self, column: pa.Array, scan: Scan) -> None:
        encoded = column.cast(pa.string()).dictionary_encode()
        texts = encoded.dictionary
        indices = encoded.indices.drop_null().to_numpy()
        counts = np.bincount(indices, minlength=len(texts))
        if self._is_truth:
            # A boolean has six spellings; a column of text may have a million values.
            self._truths.update(texts[:7].to_pylist())
            self._is_truth = not self._truths or bool(values_lib.spelling_of_truths(self._truths))
        if not self.is_text:
            are_numbers = pc.match_substring_regex(texts, _NUMBER).to_numpy(zero_copy_only=False)
            words = int(counts[~are_numbers].sum())
            self._words.add(texts, counts, ~are_numbers, encoded, scan)
            figures = pc.match_substring_regex(texts, _FIGURE).to_numpy(zero_copy_only=False)
            self._figures.add(texts, counts, figures & ~are_numbers, encoded, scan)
            self.is_text = words >= _FEW and 2 * words > counts.sum()
            if are_numbers.any() and not self.is_text:
                numbers = [float(text) for text in texts.filter(pa.array(are_numbers)).to_pylist()]
                self._low, self._high = min(self._low, *numbers), max(self._high, *numbers)
        if self._wanted.pattern:
            fits = pc.match_substring_regex(texts, f"^(?:{self._wanted.pattern})$")
            misfits = ~fits.to_numpy(zero_copy_only=False)
            self._misfits.add(texts, counts, misfits, encoded, scan)
        if self._values is None:
            return
        rows = _first_rows(encoded)
        for index, (text, count) in enumerate(zip(texts.to_pylist(), counts.tolist())):
            known = self._values.get(text)
            if known is None:
                if len(self._values) == MOST_VALUES:
                    self._values = None
                    return
                location = scan.place_of(int(rows[index]))
                known = self._values[text] = _Counted(first=Sighting(text, location))
            known.count += count

    def profile(self, rows: int) -> ColumnProfile:
        has_numbers = self._low <= self._high
        values = self._values
        return ColumnProfile(
            self._name,
            self._held,
            self._is_list,
            rows,
            self._missing,
            self._not_finite,
            self._low if has_numbers else math.nan,
            self._high if has_numbers else math.nan,
            self._moments.mean,
            self._moments.deviation,
            self._words.misfits(),
            self._figures.misfits(),
            self.is_text,
            self._is_truth and self._words.count > 0,
            self._misfits.misfits(),
            values=None
            if values is None
            else {
                text: Misfits(entry.count, entry.first)
                for text, entry in values.items()
                if entry.first
            },
            first_not_finite=self._first_not_finite,
            **self._places,
        )


FAR = 1e37
"""Near the largest 32-bit float, 3.4e38, sums of a few numbers overflow."""


def _first_rows(encoded: pa.DictionaryArray) -> np.ndarray:
    """Returns the index of the first row of each distinct value."""
    valid = np.flatnonzero(encoded.indices.is_valid().to_numpy(zero_copy_only=False))
    return valid[np.unique(encoded.indices.drop_null().to_numpy(), return_index=True)[1]]


@dataclasses.dataclass
class _Counted:
    count: int = 0
    first: Sighting | None = None

    def add(
        self,
        texts: pa.Array,
        counts: np.ndarray,
        chosen: np.ndarray,
        encoded: pa.DictionaryArray,
        scan: Scan,
    ) -> None:
        """Counts the rows whose text is among the chosen distinct ones."""
        if not chosen.any():
            return
        self.count += int(counts[chosen].sum())
        if self.first is None:
            # Distinct values are in the order of their first occurrence.
            index = int(chosen.argmax())
            row = pc.index(encoded.indices, index).as_py()
            self.first = Sighting(texts[index].as_py(), scan.place_of(row))

    def misfits(self) -> Misfits | None:
        return Misfits(self.count, self.first) if self.first else None


@dataclasses.dataclass
class _Moments:
    """Running mean and standard deviation of numbers in batches (Chan, Golub, LeVeque, 1979)."""

    count: int = 0
    mean: float = math.nan
    _squares: float = 0.0

    def add(self, numbers: np.ndarray) -> None:
        if not len(numbers):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(numbers.mean())
            squares = float(np.square(numbers - mean).sum())
        if not self.count:
            self.count, self.mean, self._squares = len(numbers), mean, squares
            return
        total = self.count + len(numbers)
        apart = mean - self.mean
        self._squares += squares + apart * apart * self.count * len(numbers) / total
        self.mean += apart * len(numbers) / total
        self.count = total

    @property
    def deviation(self) -> float:
        return math.sqrt(self._squares / self.count) if self.count else math.nan
