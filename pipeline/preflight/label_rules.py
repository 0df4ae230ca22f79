"""Rules for labels, weights and the key of the splits; see `table_rules`."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from components.tables.column_kinds import Kind
from components.tables.column_profile import ColumnProfile, Misfits
from pipeline.preflight.column_values import (
    REMOVE,
    farthest,
    is_missing_word,
    not_numbers,
    number_text,
)
from pipeline.preflight.table_view import TableView

LEAST_DEVIATION = 1e-6
"""A label whose deviation is smaller, relative to its mean, is nearly constant in 32-bit floats."""

MOST_LABEL = 1e18
"""Squares of larger labels overflow 32-bit floats."""


def labels_of_regressions_are_numbers(view: TableView) -> Iterator[str]:
    """Checks that the label of a regression holds numbers."""
    for name, task in view.config.tasks.items():
        if task == "regression":
            column = view.columns[name]
            word = column.words.first.value if column.words else ""
            advice = (
                REMOVE if is_missing_word(word) else "choose another label, or task: multiclass"
            )
            expected = f"expected a number; {advice}"
            role = "numbers as the label of a regression"
            yield from not_numbers(view, column, expected, role)


def weights_are_not_negative(view: TableView) -> Iterator[str]:
    """Checks that weights are numbers of at least 0, and not all zero."""
    name = view.config.weight
    if not name:
        return
    column = view.columns[name]
    expected = "expected a number of at least 0 as the weight"
    problems = list(not_numbers(view, column, expected, "numbers as the weight"))
    if not problems and column.low < 0:
        shown = number_text(column.low)
        shown = repr(shown) if view.is_csv else shown
        problems = [f"{column.low_at}: {name}: found {shown}, {expected}"]
    if not problems and column.high > MOST_LABEL:
        shown = number_text(column.high)
        problems = [
            f"{column.high_at}: {name}: found {shown}, expected weights below {MOST_LABEL:g}"
        ]
    if not problems and column.high == 0:
        problems = [f"weight: {name} is zero in every row; there is nothing to learn"]
    yield from problems


def keys_are_text_or_whole_numbers(view: TableView) -> Iterator[str]:
    """Checks that the key of the splits holds text or whole numbers."""
    name = view.config.splits.key
    if not name:
        return
    column = view.columns[name]
    if column.is_list:
        yield f"splits.key: {name} holds lists; expected text or whole numbers"
    elif column.kind == Kind.FLOAT:
        example = f", such as {column.misfits.first.value}" if column.misfits else ""
        yield (
            f"splits.key: {name} holds fractional numbers{example}; expected text or whole numbers"
        )


def regressions_have_something_to_learn(view: TableView) -> Iterator[str]:
    """Checks that the label of a regression varies and fits into 32-bit floats."""
    for name, task in view.config.tasks.items():
        column = view.columns[name]
        if task != "regression" or column.kind == Kind.BYTES:
            continue
        if column.low == column.high:
            shown = number_text(column.low)
            yield f"label {name}: is {shown} in every row; there is nothing to learn"
        elif max(abs(column.low), abs(column.high)) > MOST_LABEL:
            value, location = farthest(column)
            yield (
                f"{location}: {name}: found {number_text(value)}, which is too large for a label: "
                f"its square overflows 32-bit floats; expected numbers below {MOST_LABEL:g}: fix "
                "the value, or divide the column by a constant"
            )
        elif not column.deviation > LEAST_DEVIATION * abs(column.mean):
            yield (
                f"label {name}: varies too little for 32-bit floats, which keep 7 digits: from "
                f"{number_text(column.low)} to {number_text(column.high)}; subtract a constant, "
                f"such as {_round_offset(column)}, from the column"
            )


def _round_offset(column: ColumnProfile) -> str:
    """Returns a round number near the column's values, to subtract from them."""
    spread = column.high - column.low
    unit = 10.0 ** math.ceil(math.log10(spread)) if spread > 0 else 1.0
    return number_text(math.floor(column.low / unit) * unit)


def labels_on_a_log_scale_are_not_negative(view: TableView) -> Iterator[str]:
    """Checks that a label learned on a log scale is never below zero."""
    logs: dict[str, bool | None] = {view.config.label: view.config.log_label}
    logs |= {name: label.log_label for name, label in view.config.more_labels.items()}
    for name, is_log in logs.items():
        column = view.columns[name]
        if is_log and column.low < 0:
            yield (
                f"{column.low_at}: {name}: found {number_text(column.low)}; log_label: true needs "
                "labels of at least 0: fix the value, or remove log_label"
            )


def classes_are_distinct(view: TableView) -> Iterator[str]:
    """Checks that a label's classes are distinct, present and as many as its task requires."""
    for name, task in view.config.tasks.items():
        column = view.columns[name]
        if task == "regression":
            continue
        if column.is_list:
            yield f"label {name}: holds lists; expected one class per row"
            continue
        if column.first_not_finite:
            location = column.first_not_finite.location
            yield f"{location}: {name}: the label is missing or not finite; {REMOVE}"
        elif column.values is not None:
            yield from _class_mistakes(name, task, column.values)


def _class_mistakes(name: str, task: str, classes: Mapping[str, Misfits]) -> Iterator[str]:
    numbers = {text: number for text in classes if (number := _finite(text)) is not None}
    odd = [text for text in classes if text not in numbers and is_missing_word(text)]
    if odd and len(numbers) + len(odd) == len(classes) and numbers:
        location = classes[odd[0]].first.location
        yield f"{location}: {name}: found {odd[0]!r} among classes that are numbers; {REMOVE}"
        return
    by_number: dict[float, str] = {}
    for text, number in numbers.items():
        other = by_number.setdefault(number, text)
        if other != text:
            first, second = classes[other].first, classes[text].first
            yield (
                f"{second.location}: {name}: found {text!r}, which is the same number as {other!r} "
                f"({first.location}); write each class in one way"
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
            f"{third.value!r} ({third.location}): fix the table or set task: multiclass"
        )


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


def _finite(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
