"""Computes the profile of a column, one block at a time."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.tables import column_profile
from components.tables.column_kinds import Held
from components.tables.column_profile import FAR, ColumnProfile, Misfits, Sighting, Wanted
from components.tables.table import Scan
from models.features import text_values

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


class ColumnProfiler:
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
        self._is_boolean = True
        self._booleans: set[str] = set()
        self._locations: dict[str, str] = {}
        self._first_not_finite: Sighting | None = None
        self._words = _Counted()
        self._figures = _Counted()
        self._misfits = _Counted()
        self._values: dict[str, _Counted] | None = {} if wanted.values else None

    def add(self, column: pa.Array, scan: Scan) -> None:
        """Adds the values of a block."""
        self._held |= scan.held[self._name]
        self._missing += column.null_count
        if column.null_count and self._wanted.located:
            row = pc.index(column.is_null(), True).as_py()
            self._locations.setdefault("first_gap", scan.location(row))
        if pa.types.is_null(column.type):
            return
        if pa.types.is_nested(column.type) or pa.types.is_fixed_size_list(column.type):
            self._is_list = True
        elif pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
            self._add_numbers(column, scan)
        elif self._wanted.as_text or not self.is_text or self._is_boolean:
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
                if self._first_not_finite is None and self._wanted.located:
                    row = pc.index(finite, False).as_py()
                    location = scan.location(row)
                    self._first_not_finite = Sighting(str(column[row].as_py()), location)
                column = pc.if_else(finite, column, None)
        if column.null_count == len(column):
            return
        ends = pc.min_max(column).as_py()
        low, high = float(ends["min"]), float(ends["max"])
        if low < self._low:
            self._low = low
            self._locate_extreme("low_at", ends["min"], column, scan)
        if high > self._high:
            self._high = high
            self._locate_extreme("high_at", ends["max"], column, scan)
        if self._wanted.located:
            self._moments.add(column.drop_null().to_numpy().astype(np.float64))

    def _locate_extreme(self, key: str, value: float, column: pa.Array, scan: Scan) -> None:
        if self._wanted.located or abs(value) > FAR:
            self._locations[key] = scan.location(pc.index(column, value).as_py())

    def _add_texts(self, column: pa.Array, scan: Scan) -> None:
        encoded = column.cast(pa.string()).dictionary_encode()
        texts = encoded.dictionary
        indices = encoded.indices.drop_null().to_numpy()
        counts = np.bincount(indices, minlength=len(texts))
        if self._is_boolean:
            # A boolean has six spellings; a column of text may have a million values.
            self._booleans.update(texts[:7].to_pylist())
            spelling = text_values.spelling_of_truths(self._booleans)
            self._is_boolean = not self._booleans or bool(spelling)
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
                if len(self._values) == column_profile.MOST_VALUES:
                    self._values = None
                    return
                location = scan.location(int(rows[index]))
                known = self._values[text] = _Counted(first=Sighting(text, location))
            known.count += count

    def profile(self, rows: int) -> ColumnProfile:
        """Returns the profile of all values added, in a table of `rows` rows."""
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
            self._is_boolean and self._words.count > 0,
            self._misfits.misfits(),
            values=None
            if values is None
            else {
                text: Misfits(entry.count, entry.first)
                for text, entry in values.items()
                if entry.first
            },
            first_not_finite=self._first_not_finite,
            **self._locations,
        )


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
            self.first = Sighting(texts[index].as_py(), scan.location(row))

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
        delta = mean - self.mean
        self._squares += squares + delta * delta * self.count * len(numbers) / total
        self.mean += delta * len(numbers) / total
        self.count = total

    @property
    def deviation(self) -> float:
        return math.sqrt(self._squares / self.count) if self.count else math.nan
