"""What several rules share: tests for unwanted values, and parts of messages about them."""

import math
from collections.abc import Iterator

from components.tables.column_kinds import Kind
from components.tables.column_profile import ColumnProfile
from pipeline.preflight.table_view import TableView

MISSING_WORDS = frozenset(
    ("", "-", "--", "?", ".", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "missing")
)
"""Words, in lower case, that commonly mean a missing value."""

REMOVE = "remove the row or fill it in"

_YAML_WORDS = ("null", "none", "nan", "true", "false", "yes", "no", "on", "off", "y", "n")


def not_numbers(
    view: TableView, column: ColumnProfile, expected: str, expected_kind: str
) -> Iterator[str]:
    """Yields a mistake for the first value that is not a number, in a column that needs numbers."""
    if words_are_bad_rows(view):
        return
    if not view.is_csv and (column.is_list or column.kind == Kind.BYTES):
        held = "lists" if column.is_list else "text"
        yield f"{view.config.data.path}: {column.name}: found {held}, expected {expected_kind}"
    elif column.words and column.kind == Kind.BYTES:
        first = column.words.first
        yield f"{first.location}: {column.name}: found {first.value!r}, {expected}"
    elif sighting := column.first_not_finite:
        if view.is_csv:
            yield f"{sighting.location}: {column.name}: found {sighting.value!r}, {expected}"
        else:
            role = needed(view).get(column.name, "value")
            location = f"{sighting.location}: {column.name}"
            yield f"{location}: the {role} is missing or not finite; {REMOVE}"


def words_are_bad_rows(view: TableView) -> bool:
    """Returns whether ingestion quarantines rows with a word where the schema has a number."""
    return view.is_curated and view.config.data.on_bad_rows != "refuse"


def needed(view: TableView) -> dict[str, str]:
    """Returns the columns in which every row needs a value, with their roles."""
    roles = dict.fromkeys(view.config.tasks, "label")
    for name, role in ((view.config.weight, "weight"), (view.config.splits.key, "key")):
        if name:
            roles.setdefault(name, role)
    return roles


def how_to_fix(view: TableView, column: ColumnProfile, word: str) -> str:
    """Returns advice on a word in a column of numbers."""
    them = "it" if column.words and column.words.count == 1 else "them"
    if view.is_csv and (is_missing_word(word) or not column.is_text):
        return f"to read {them} as missing, set data: {{missing: [{_yaml(word)}]}}"
    return f"convert it, or remove features.{column.name}"


def farthest(column: ColumnProfile) -> tuple[float, str]:
    """Returns a column's number that is farthest from zero, and its location."""
    if abs(column.low) > abs(column.high):
        return column.low, column.low_at
    return column.high, column.high_at


def is_missing_word(text: str) -> bool:
    """Returns whether a text commonly means a missing value."""
    return text.strip().casefold() in MISSING_WORDS or _not_finite(text)


def _not_finite(text: str) -> bool:
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False


def number_text(value: float) -> str:
    """Formats a number for a message; whole numbers without a decimal point."""
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.12g}"


def _yaml(word: str) -> str:
    is_plain = word.replace("/", "").isalnum() and word.casefold() not in _YAML_WORDS
    return word if is_plain else f"'{word}'"
