"""Rules that a table must pass before anything runs, one function for each.

A rule checks a `TableView` and yields mistakes, one line each. A table with any is refused.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from components.tables.profile import FAR, ColumnProfile, Misfits
from components.tables.table import Kind
from models.errors import UserError
from models.features import features as features_lib
from models.features import text_values
from pipeline.preflight.table_view import TableView

Rule = Callable[[TableView], Iterator[str]]

RULES: list[Rule] = []
"""All rules, in the order in which their mistakes are shown."""

MISSING_WORDS = frozenset(
    ("", "-", "--", "?", ".", "na", "n/a", "#n/a", "nan", "-nan", "null", "none", "nil", "missing")
)
"""Words, in lower case, that commonly mean a missing value."""

LEAST_DEVIATION = 1e-6
"""A label whose deviation is smaller, relative to its mean, is nearly constant in 32-bit floats."""

_REMOVE = "remove the row or fill it in"


def rule(function: Rule) -> Rule:
    """Adds a function to `RULES`."""
    RULES.append(function)
    return function


def mistakes(view: TableView) -> list[str]:
    """Returns the mistakes, one line each, that the first failing rule finds."""
    for check in RULES:
        if problems := list(check(view)):
            return problems
    return []


@rule
def rows_can_be_read(view: TableView) -> Iterator[str]:
    """Checks that every row can be read, unless unreadable rows are quarantined."""
    if view.profile.first_bad and view.config.data.on_bad_rows == "refuse":
        yield str(view.profile.first_bad)


@rule
def numbers_of_the_schema_are_numbers(view: TableView) -> Iterator[str]:
    """Checks that CSV columns that are numbers in the curated schema hold no words."""
    if not (view.is_curated and view.is_csv) or _words_are_bad_rows(view):
        return
    for name, kind in view.kinds().items():
        words = view.columns[name].words
        if kind in _EXPECTED and view.columns[name].kind == Kind.BYTES and words:
            yield (
                f"{words.first.place}: {name}: found {words.first.value!r}, expected "
                f"{_EXPECTED[kind]}; mend the row, or set data.on_bad_rows: quarantine to leave it "
                "out"
            )
            return


_EXPECTED = {Kind.INT: "a whole number", Kind.FLOAT: "a number"}


@rule
def there_are_rows(view: TableView) -> Iterator[str]:
    """Checks that the table has rows."""
    if not view.profile.rows and not view.profile.bad_rows:
        yield f"data.path: {view.config.data.path}: has a header but no rows"


@rule
def values_that_every_row_needs(view: TableView) -> Iterator[str]:
    """Checks that every row has its labels, weight and key."""
    for name, role in _needed(view).items():
        column = view.columns[name]
        if column.first_gap:
            problem = "is empty" if view.is_csv else "is missing or not finite"
            yield f"{column.first_gap}: {name}: the {role} {problem}; {_REMOVE}"


def _needed(view: TableView) -> dict[str, str]:
    roles = dict.fromkeys(view.config.tasks, "label")
    for name, role in ((view.config.weight, "weight"), (view.config.splits.key, "key")):
        if name:
            roles.setdefault(name, role)
    return roles


@rule
def labels_of_regressions_are_numbers(view: TableView) -> Iterator[str]:
    """Checks that the label of a regression holds numbers."""
    for name, task in view.config.tasks.items():
        if task == "regression":
            column = view.columns[name]
            word = column.words.first.value if column.words else ""
            mend = (
                _REMOVE if _is_missing_word(word) else "choose another label, or task: multiclass"
            )
            expected = f"expected a number; {mend}"
            role = "numbers as the label of a regression"
            yield from _not_numbers(view, column, expected, role)


@rule
def weights_are_numbers_from_zero_up(view: TableView) -> Iterator[str]:
    """Checks that weights are numbers from zero up, and not all zero."""
    name = view.config.weight
    if not name:
        return
    column = view.columns[name]
    expected = "expected a number from zero up as the weight"
    problems = list(_not_numbers(view, column, expected, "numbers as the weight"))
    if not problems and column.low < 0:
        shown = _number(column.low)
        shown = repr(shown) if view.is_csv else shown
        problems = [f"{column.low_at}: {name}: found {shown}, {expected}"]
    if not problems and column.high > MOST_LABEL:
        shown = _number(column.high)
        problems = [
            f"{column.high_at}: {name}: found {shown}, expected weights below {MOST_LABEL:g}"
        ]
    if not problems and column.high == 0:
        problems = [f"weight: {name} is zero in every row; there is nothing to learn"]
    yield from problems


@rule
def bands_are_of_numbers(view: TableView) -> Iterator[str]:
    """Checks that only columns of numbers are sliced by bands."""
    for part in view.config.slices:
        if part.bands:
            column = view.columns[part.column]
            expected = "expected a number; only numbers have bands (slices)"
            yield from _not_numbers(view, column, expected, "numbers; only numbers have bands")


def _not_numbers(
    view: TableView, column: ColumnProfile, expected: str, expected_kind: str
) -> Iterator[str]:
    """Yields a mistake for the first value of a column that is not a number."""
    if _words_are_bad_rows(view):
        return
    if not view.is_csv and (column.is_list or column.kind == Kind.BYTES):
        held = "lists" if column.is_list else "text"
        yield f"{view.config.data.path}: {column.name}: found {held}, expected {expected_kind}"
    elif column.words and column.kind == Kind.BYTES:
        first = column.words.first
        yield f"{first.place}: {column.name}: found {first.value!r}, {expected}"
    elif sighting := column.first_not_finite:
        if view.is_csv:
            yield f"{sighting.place}: {column.name}: found {sighting.value!r}, {expected}"
        else:
            role = _needed(view).get(column.name, "value")
            yield f"{sighting.place}: {column.name}: the {role} is missing or not finite; {_REMOVE}"


def _words_are_bad_rows(view: TableView) -> bool:
    """Returns whether ingestion quarantines rows with a word where the schema has a number."""
    return view.is_curated and view.config.data.on_bad_rows != "refuse"


@rule
def keys_are_text_or_whole_numbers(view: TableView) -> Iterator[str]:
    """Checks that the key of the splits holds text or whole numbers."""
    name = view.config.splits.key
    if not name:
        return
    column = view.columns[name]
    if column.is_list:
        yield f"splits.key: {name} holds lists; expected text or whole numbers"
    elif column.kind == Kind.FLOAT:
        example = f", as {column.misfits.first.value}" if column.misfits else ""
        yield (
            f"splits.key: {name} holds fractional numbers{example}; expected text or whole numbers"
        )


@rule
def regressions_have_something_to_learn(view: TableView) -> Iterator[str]:
    """Checks that the label of a regression varies and fits into 32-bit floats."""
    for name, task in view.config.tasks.items():
        column = view.columns[name]
        if task != "regression" or column.kind == Kind.BYTES:
            continue
        if column.low == column.high:
            shown = _number(column.low)
            yield f"label {name}: is {shown} in every row; there is nothing to learn"
        elif max(abs(column.low), abs(column.high)) > MOST_LABEL:
            value, location = _farthest(column)
            yield (
                f"{location}: {name}: found {_number(value)}, which is too large for a label: its "
                f"square overflows 32-bit floats; expected numbers below {MOST_LABEL:g}: mend the "
                "value, or divide the column by a constant"
            )
        elif not column.deviation > LEAST_DEVIATION * abs(column.mean):
            yield (
                f"label {name}: varies too little for 32-bit floats, which keep 7 digits: from "
                f"{_number(column.low)} to {_number(column.high)}; subtract a constant, as "
                f"{_round_offset(column)}, from the column"
            )


MOST_LABEL = 1e18
"""Squares of larger labels overflow 32-bit floats."""


def _round_offset(column: ColumnProfile) -> str:
    """Returns a round number near the column's values, to subtract from them."""
    spread = column.high - column.low
    unit = 10.0 ** math.ceil(math.log10(spread)) if spread > 0 else 1.0
    return _number(math.floor(column.low / unit) * unit)


@rule
def logarithms_are_of_labels_from_zero_up(view: TableView) -> Iterator[str]:
    """Checks that a label learned on a log scale is never below zero."""
    logs: dict[str, bool | None] = {view.config.label: view.config.log_label}
    logs |= {name: label.log_label for name, label in view.config.more_labels.items()}
    for name, is_log in logs.items():
        column = view.columns[name]
        if is_log and column.low < 0:
            yield (
                f"{column.low_at}: {name}: found {_number(column.low)}; log_label: true needs "
                "labels from zero up: mend the value, or remove log_label"
            )


@rule
def classes_can_be_told_apart(view: TableView) -> Iterator[str]:
    """Checks that a label's classes are distinct, present and as many as its task requires."""
    for name, task in view.config.tasks.items():
        column = view.columns[name]
        if task == "regression":
            continue
        if column.is_list:
            yield f"label {name}: holds lists; expected one class per row"
            continue
        if column.first_not_finite:
            location = column.first_not_finite.place
            yield f"{location}: {name}: the label is missing or not finite; {_REMOVE}"
        elif column.values is not None:
            yield from _class_mistakes(name, task, column.values)


def _class_mistakes(name: str, task: str, classes: Mapping[str, Misfits]) -> Iterator[str]:
    numbers = {text: number for text in classes if (number := _finite(text)) is not None}
    odd = [text for text in classes if text not in numbers and _is_missing_word(text)]
    if odd and len(numbers) + len(odd) == len(classes) and numbers:
        location = classes[odd[0]].first.place
        yield f"{location}: {name}: found {odd[0]!r} among classes that are numbers; {_REMOVE}"
        return
    by_number: dict[float, str] = {}
    for text, number in numbers.items():
        other = by_number.setdefault(number, text)
        if other != text:
            first, second = classes[other].first, classes[text].first
            yield (
                f"{second.place}: {name}: found {text!r}, which is the same number as {other!r} "
                f"({first.place}); write a class in one way"
            )
            return
    if len(classes) == 1:
        yield f"label {name}: is {next(iter(classes))!r} in every row; there is nothing to learn"
    elif task == "binary" and len(classes) > 2:
        third = list(classes.values())[2].first
        shown = ", ".join(repr(text) for text in sorted(classes)[:5])
        yield (
            f"label {name}: found {len(classes)} classes ({shown}"
            f"{', …' if len(classes) > 5 else ''}), expected 2 for task binary; the third is "
            f"{third.value!r} ({third.place}): mend the table or set task: multiclass"
        )


@rule
def class_weights_are_of_classes(view: TableView) -> Iterator[str]:
    """Checks that every class with a weight occurs in the label."""
    weights: dict[str, Any] = {view.config.label: view.config.class_weights}
    weights |= {name: label.class_weights for name, label in view.config.more_labels.items()}
    for name, by_class in weights.items():
        classes = view.columns[name].values
        if not by_class or isinstance(by_class, str) or classes is None or view.is_curated:
            continue
        for value in by_class:
            if str(value) not in classes:
                known = ", ".join(sorted(classes)[:20])
                yield f"class_weights: label {name} has no class {value!r}; it has {known}"


@rule
def overrides_fit(view: TableView) -> Iterator[str]:
    """Checks that columns can be read as the kinds that `features` gives them."""
    for column in view.overridden(features_lib.NUMERIC):
        if column.kind == Kind.BYTES and column.words and not _words_are_bad_rows(view):
            first = column.words.first
            count = "" if column.is_text else f" (one of {column.words.count} words)"
            yield (
                f"{first.place}: {column.name}: found {first.value!r}{count}, expected a number as "
                f"features.{column.name}: numeric says; {how_to_mend(view, column, first.value)}"
            )
    for kind, expected in (
        (features_lib.BOOLEAN, text_values.TRUTHS),
        (features_lib.DATE, text_values.DATES),
    ):
        for column in view.overridden(kind):
            if column.misfits and column.misfits.count == column.present:
                first = column.misfits.first
                yield (
                    f"{first.place}: {column.name}: found {first.value!r}, and no value is a "
                    f"{kind}; expected {expected}; convert the column, or change "
                    f"features.{column.name}"
                )
    for column in view.overridden(features_lib.ORDINAL):
        yield from _ordinal_mistakes(view, column)


def _ordinal_mistakes(view: TableView, column: ColumnProfile) -> Iterator[str]:
    if not column.misfits:
        return
    order: tuple[Any, ...] = view.config.features[column.name].order or ()
    plain = {str(code).strip().casefold(): code for code in order}
    for text, occurrences in (column.values or {}).items():
        code = plain.get(text.strip().casefold())
        if code is not None and text not in order and isinstance(code, str):
            yield (
                f"{occurrences.first.place}: {column.name}: found {text!r}, but the order has "
                f"{code!r}; write the values of the order as the table does"
            )
            return
    if column.misfits.count == column.present:
        first = column.misfits.first
        shown = ", ".join(str(code) for code in order)
        yield (
            f"{first.place}: {column.name}: found {first.value!r}, and no value is in the order of "
            f"features.{column.name}: {shown}; write the values of the order as the table does"
        )


def how_to_mend(view: TableView, column: ColumnProfile, word: str) -> str:
    """Returns advice on a word in a column of numbers."""
    them = "it" if column.words and column.words.count == 1 else "them"
    if view.is_csv and (_is_missing_word(word) or not column.is_text):
        return f"data: {{missing: [{_yaml(word)}]}} reads {them} as missing"
    return f"convert it, or remove features.{column.name}"


@rule
def there_is_something_to_learn_from(view: TableView) -> Iterator[str]:
    """Checks that there are features, that some have values, and that numbers fit 32-bit floats."""
    try:
        features = view.features()
    except UserError as error:
        yield str(error)
        return
    read = features_lib.columns_read(features)
    with_values = [
        feature.name
        for feature in read
        if feature.name not in view.columns or view.columns[feature.name].present
    ]
    if not with_values:
        yield (
            "no column is left to learn from: every column is the label, the weight, ignored or "
            "empty"
        )
    for feature in read:
        column = view.columns.get(feature.name)
        if column is None or feature.kind not in (features_lib.NUMERIC, features_lib.SEQUENCE):
            continue
        if max(abs(column.low), abs(column.high)) > FAR:
            value, location = _farthest(column)
            yield (
                f"{location}: {column.name}: found {_number(value)}, which is too near to the end "
                f"of 32-bit floats, 3.4e38; expected numbers below {FAR:g}: mend the value, or "
                "divide the column by a constant"
            )


def splits_have_rows(view: TableView) -> Iterator[str]:
    """Checks, after all other rules, that every split has rows and that labels vary in train."""
    if not view.splits:
        return
    counts = ", ".join(f"{name} {rows:,}" for name, rows in view.splits.rows.items())
    for name, rows in view.splits.rows.items():
        if not rows:
            of_what = f"value of {view.config.splits.key}" if view.config.splits.key else "row"
            yield (
                f"splits: the {name} split gets none of the {view.profile.rows:,} rows ({counts}); "
                f"the hash of each {of_what} decides: bring more rows, or raise splits.{name}"
            )
            return
    for name, value in view.splits.constants.items():
        yield (
            f"label {name}: is {value} in every row of the train split ({counts}); there is "
            "nothing to learn: bring more rows"
        )


def _farthest(column: ColumnProfile) -> tuple[float, str]:
    if abs(column.low) > abs(column.high):
        return column.low, column.low_at
    return column.high, column.high_at


def _is_missing_word(text: str) -> bool:
    return text.strip().casefold() in MISSING_WORDS or _not_finite(text)


def _not_finite(text: str) -> bool:
    try:
        return not math.isfinite(float(text))
    except ValueError:
        return False


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.12g}"


def _yaml(word: str) -> str:
    is_plain = word.replace("/", "").isalnum() and word.casefold() not in _YAML_WORDS
    return word if is_plain else f"'{word}'"


_YAML_WORDS = ("null", "none", "nan", "true", "false", "yes", "no", "on", "off", "y", "n")
