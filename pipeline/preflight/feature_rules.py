"""Rules for features and slices; see `table_rules`."""

from collections.abc import Iterator
from typing import Any

from components.tables import bad_rows
from components.tables.column_kinds import EXPECTED, Kind
from components.tables.column_profile import FAR, ColumnProfile
from models.errors import UserError
from models.features import features as features_lib
from models.features import text_values
from pipeline.preflight.column_values import (
    farthest,
    how_to_fix,
    not_numbers,
    number_text,
    words_are_bad_rows,
)
from pipeline.preflight.table_view import TableView


def numbers_of_the_schema_are_numbers(view: TableView) -> Iterator[str]:
    """Checks that CSV columns that are numbers in the curated schema hold no words."""
    if not (view.is_curated and view.is_csv) or words_are_bad_rows(view):
        return
    for name, kind in view.kinds().items():
        words = view.columns[name].words
        if kind in EXPECTED and view.columns[name].kind == Kind.BYTES and words:
            yield (
                f"{words.first.location}: {name}: found {words.first.value!r}, expected "
                f"{EXPECTED[kind]}; {bad_rows.ADVICE}"
            )
            return


def bands_are_of_numbers(view: TableView) -> Iterator[str]:
    """Checks that only columns of numbers are sliced by bands."""
    for part in view.config.slices:
        if part.bands:
            column = view.columns[part.column]
            expected = "expected a number; only numbers have bands (slices)"
            yield from not_numbers(view, column, expected, "numbers; only numbers have bands")


def overrides_fit(view: TableView) -> Iterator[str]:
    """Checks that columns can be read as the kinds that `features` gives them."""
    for column in view.overridden(features_lib.NUMERIC):
        if column.kind == Kind.BYTES and column.words and not words_are_bad_rows(view):
            first = column.words.first
            yield (
                f"{first.location}: {column.name}: found {first.value!r}, expected a number "
                f"because of features.{column.name}: numeric; "
                f"{how_to_fix(view, column, first.value)}"
            )
    for kind, expected in (
        (features_lib.BOOLEAN, text_values.TRUTHS),
        (features_lib.DATE, text_values.DATES),
    ):
        for column in view.overridden(kind):
            if column.misfits and column.misfits.count == column.present:
                first = column.misfits.first
                yield (
                    f"{first.location}: {column.name}: found {first.value!r}, and no value is a "
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
                f"{occurrences.first.location}: {column.name}: found {text!r}, but the order has "
                f"{code!r}; spell the values of the order as in the table"
            )
            return
    if column.misfits.count == column.present:
        first = column.misfits.first
        shown = ", ".join(str(code) for code in order)
        yield (
            f"{first.location}: {column.name}: found {first.value!r}, and no value is in the order "
            f"of features.{column.name} ({shown}); spell the values of the order as in the table"
        )


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
            value, location = farthest(column)
            yield (
                f"{location}: {column.name}: found {number_text(value)}, which is too close to the "
                f"limit of 32-bit floats, 3.4e38; expected numbers below {FAR:g}: fix the value, "
                "or divide the column by a constant"
            )
