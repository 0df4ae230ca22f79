"""Report on the table of a run: each column's role, missing values and odd values."""

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Any

from components.tables import column_kinds
from components.tables.column_kinds import Kind
from components.tables.column_profile import ColumnProfile, Misfits
from models.features import features as features_lib
from models.features import text_values
from pipeline.preflight import column_values
from pipeline.preflight.split_counts import FEW_ROWS, SplitCounts, label_text
from pipeline.preflight.table_view import TableView


@dataclasses.dataclass(frozen=True)
class ReportedColumn:
    """The report on one column.

    Attributes:
        name: the name of the column.
        role: label, weight, key, ignored, empty, or the kind of the feature.
        missing: the share of rows without a value.
        unreadable: the share of rows with a value that counts as missing.
        odd: the first odd value and its location; empty if there is no such value.
    """

    name: str
    role: str
    missing: float
    unreadable: float
    odd: str


@dataclasses.dataclass(frozen=True)
class TableReport:
    """The report on the table of a run.

    Attributes:
        rows: the number of rows.
        columns: the reported columns, in the table's order.
        notes: sentences that the user should read before the model is trained.
    """

    rows: int
    columns: tuple[ReportedColumn, ...]
    notes: tuple[str, ...]

    def __str__(self):
        """Formats the report as plain text for a log."""
        lines = [HEAD, *(cells(column) for column in self.columns)]
        widths = [max(len(line[index]) for line in lines) for index in range(len(HEAD))]
        laid_out = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip()
            for line in lines
        ]
        return "\n".join(
            [f"{self.rows:,} rows", *laid_out, *(f"note  {note}" for note in self.notes)]
        )


HEAD = ("column", "role", "missing", "unreadable", "first odd value")


def cells(column: ReportedColumn) -> tuple[str, str, str, str, str]:
    """Returns a column's row in the displayed table."""
    return (
        column.name,
        column.role,
        _percent(column.missing),
        _percent(column.unreadable),
        column.odd,
    )


def _percent(share: float) -> str:
    """Formats a share; one between 0 and 1 is never rounded to 0 % or 100 %."""
    if not share:
        return "-"
    if 0.999 < share < 1:
        return ">99.9 %"
    return "<0.1 %" if share < 0.001 else f"{100 * share:.1f} %"


def report(view: TableView) -> TableReport:
    """Returns the report on a table that has passed the rules."""
    roles = _roles(view)
    columns = []
    numeric = [name for name, role in roles.items() if role in features_lib.NUMBERS]
    held = {name: view.columns[name].held for name in numeric if name in view.columns}
    notes = [*view.profile.notes, *column_kinds.notes(held)]
    for column in view.columns.values():
        role = roles.get(column.name, "ignored")
        misfits, note = _odd(view, column, role)
        count = misfits.count if misfits and role != features_lib.CATEGORICAL else 0
        odd = f"{misfits.first.value!r} ({misfits.first.location})" if misfits else ""
        unreadable = count + column.not_finite
        rows = max(column.rows, 1)
        columns.append(
            ReportedColumn(column.name, role, column.missing / rows, unreadable / rows, odd)
        )
        notes += note
    notes += _label_notes(view)
    notes += _split_notes(view)
    return TableReport(view.profile.rows, tuple(columns), tuple(notes))


def _roles(view: TableView) -> dict[str, str]:
    config = view.config
    roles: dict[str, str] = {}
    for feature in features_lib.columns_read(view.features()):
        roles[feature.name] = feature.kind
    roles |= {
        name: "empty" for name in roles if name in view.columns and not view.columns[name].present
    }
    if config.splits.key and config.splits.key not in roles:
        roles[config.splits.key] = "key"
    if config.weight:
        roles[config.weight] = "weight"
    roles |= {name: f"label ({task})" for name, task in config.tasks.items()}
    return roles


def _odd(view: TableView, column: ColumnProfile, role: str) -> tuple[Misfits | None, Iterable[str]]:
    """Returns the values of a column that do not fit its role, and notes about them."""
    name, kind = column.name, column.kind
    if role == "empty":
        return None, [f"{name}: is empty in every row, so the model does not see it"]
    if role == features_lib.CATEGORICAL and _is_figures(view, column):
        assert column.figures
        first = column.figures.first
        return column.figures, [
            f"{name}: read as text because its numbers are written like {first.value!r} "
            f"({first.location}); write them like 1234 or 12.5 for a column of numbers, or set "
            f"features.{name}: categorical"
        ]
    if role == features_lib.CATEGORICAL and _is_numbers_with_words(view, column):
        assert column.words
        first = column.words.first
        values = _values_that(column, column.words.count, "is not a number", "are not numbers")
        return column.words, [
            f"{name}: read as text because {values}, for example {first.value!r} "
            f"({first.location}); {column_values.how_to_fix(view, column, first.value)}"
        ]
    if column.misfits and role in (features_lib.DATE, features_lib.ORDINAL):
        one, many = (
            ("is not a date", "are not dates")
            if role == features_lib.DATE
            else ("is not in the order", "are not in the order")
        )
        return column.misfits, [_misfit_note(column, one, many, "missing")]
    if column.misfits and role == features_lib.BOOLEAN:
        effect = "missing" if kind == Kind.BYTES else "true"
        words = f"not {text_values.TRUTHS}"
        return column.misfits, [_misfit_note(column, f"is {words}", f"are {words}", effect)]
    if column.not_finite and role not in ("ignored", "key"):
        one, many = "is infinite, and counts", "are infinite, and count"
        values = _values_that(column, column.not_finite, one, many)
        return None, [f"{name}: {values} as missing"]
    return None, []


def _misfit_note(column: ColumnProfile, one: str, many: str, effect: str) -> str:
    assert column.misfits
    first, count = column.misfits.first, column.misfits.count
    values = _values_that(column, count, f"{one}, and counts", f"{many}, and count")
    return f"{column.name}: {values} as {effect}, for example {first.value!r} ({first.location})"


def _values_that(column: ColumnProfile, count: int, one: str, many: str) -> str:
    """Returns `1 of 60 values is …` or `2 of 60 values are …`."""
    return f"{count:,} of {column.present:,} values {one if count == 1 else many}"


def _is_figures(view: TableView, column: ColumnProfile) -> bool:
    """Returns whether a column became text because of the format of its numbers."""
    return (
        _is_text_by_itself(view, column)
        and column.words is not None
        and column.figures is not None
        and 10 * column.figures.count >= 9 * column.words.count
    )


def _is_text_by_itself(view: TableView, column: ColumnProfile) -> bool:
    """Returns whether only its values make a column text, not the schema or the configuration."""
    named = column.name in view.config.features
    return column.kind == Kind.BYTES and not named and not view.is_curated


def _is_numbers_with_words(view: TableView, column: ColumnProfile) -> bool:
    """Returns whether a column became text because of a minority of words among numbers."""
    return (
        _is_text_by_itself(view, column)
        and not column.is_text
        and column.words is not None
        and 2 * column.words.count < column.present
    )


def _label_notes(view: TableView) -> Iterator[str]:
    for name, task in view.config.tasks.items():
        column = view.columns[name]
        if task == "regression":
            spread = column.high - column.low
            step = 2.0**-23 * max(abs(column.low), abs(column.high))
            if step > 1e-4 * column.deviation and spread > 0:
                yield (
                    f"{name}: 32-bit floats round the label to steps of about {step:.2g}; subtract "
                    "a constant from the column for finer ones"
                )
            continue
        classes = column.values or {}
        by_plain: dict[str, str] = {}
        for text, occurrences in classes.items():
            first = occurrences.first
            other = by_plain.setdefault(text.strip().casefold(), text)
            if other != text:
                yield (
                    f"{name}: {text!r} ({first.location}) and {other!r} are two classes that "
                    "differ only by spaces or case"
                )
            if text.strip().casefold() in column_values.MISSING_WORDS and text.strip():
                yield (
                    f"{name}: {text!r} ({first.location}) is a class of {occurrences.count:,} "
                    "rows; remove them if it means that the label is missing"
                )


def _split_notes(view: TableView) -> Iterator[str]:
    for name, purpose in (("eval", "to steer the training"), ("test", "to judge the model")):
        rows = view.splits.rows[name] if view.splits else FEW_ROWS
        if rows < FEW_ROWS:
            yield (
                f"the {name} split has {rows} of {view.profile.rows:,} rows, too few "
                f"{purpose} well; add rows, or raise splits.{name}"
            )
    if view.splits:
        classes = [name for name, task in view.config.tasks.items() if task != "regression"]
        yield from _class_notes(view.splits, classes)
        kinds = {feature.name: feature.kind for feature in view.features()}
        for name in view.splits.without_values:
            yield f"column {name}: {_UNUSED[kinds[name]]} in the train split, so it is left out"


_UNUSED = {
    features_lib.DATE: "no value is a date",
    features_lib.ORDINAL: "no value is in the order",
    features_lib.BOOLEAN: f"no value is {text_values.TRUTHS}",
    features_lib.DERIVED: "its expression has no value",
}


def _class_notes(splits: SplitCounts, classes: Iterable[str]) -> Iterator[str]:
    """Yields a note for each split that lacks some classes of a label."""
    effects = {
        "train": "the model cannot learn",
        "eval": "checkpoints are chosen without",
        "test": "the model is judged without",
    }
    for label, by_split in splits.labels.items():
        if label not in classes:
            continue
        known = frozenset[Any]().union(*by_split.values())
        for split, effect in effects.items():
            lacking = sorted(known - by_split[split], key=str)
            if lacking:
                shown = ", ".join(map(label_text, lacking[:_SHOWN]))
                more = f" and {len(lacking) - _SHOWN:,} more" if len(lacking) > _SHOWN else ""
                one = len(lacking) == 1
                which = f"class {shown} is" if one else f"classes {shown}{more} are"
                yield (
                    f"label {label}: {which} not in the {split} split, so {effect} "
                    f"{'it' if one else 'them'}"
                )


_SHOWN = 5
