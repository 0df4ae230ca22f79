"""Rules that a table must pass before anything runs, one function for each.

A rule checks a `TableView` and yields mistakes, one line each. A table with any is refused. Here
are the rules for its rows; `label_rules` and `feature_rules` have those for its columns.
"""

from collections.abc import Callable, Iterator

from components.tables import bad_rows
from components.tables.table import NO_ROWS
from pipeline.preflight import column_values, feature_rules, label_rules
from pipeline.preflight.table_view import TableView

Rule = Callable[[TableView], Iterator[str]]


def mistakes(view: TableView) -> list[str]:
    """Returns the mistakes, one line each, that the first failing rule finds."""
    return next((problems for rule in RULES if (problems := list(rule(view)))), [])


def rows_can_be_read(view: TableView) -> Iterator[str]:
    """Checks that every row can be read, unless unreadable rows are quarantined."""
    if view.profile.first_bad and view.config.data.on_bad_rows == "refuse":
        yield f"{view.profile.first_bad}; {bad_rows.ADVICE}"


def there_are_rows(view: TableView) -> Iterator[str]:
    """Checks that the table has rows."""
    if not view.profile.rows and not view.profile.bad_rows:
        yield f"data.path: {view.config.data.path}: {NO_ROWS}"


def values_that_every_row_needs(view: TableView) -> Iterator[str]:
    """Checks that every row has its labels, weight and key."""
    for name, role in column_values.needed(view).items():
        column = view.columns[name]
        if column.first_gap:
            problem = "is empty" if view.is_csv else "is missing or not finite"
            yield f"{column.first_gap}: {name}: the {role} {problem}; {column_values.REMOVE}"


RULES: tuple[Rule, ...] = (
    rows_can_be_read,
    feature_rules.numbers_of_the_schema_are_numbers,
    there_are_rows,
    values_that_every_row_needs,
    label_rules.labels_of_regressions_are_numbers,
    label_rules.weights_are_not_negative,
    feature_rules.bands_are_of_numbers,
    label_rules.keys_are_text_or_whole_numbers,
    label_rules.regressions_have_something_to_learn,
    label_rules.labels_on_a_log_scale_are_not_negative,
    label_rules.classes_are_distinct,
    label_rules.class_weights_are_of_classes,
    feature_rules.overrides_fit,
    feature_rules.there_is_something_to_learn_from,
)
"""All rules, in the order in which they are checked: later ones rely on what earlier ones found."""


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
                f"the hash of each {of_what} decides: add rows, or raise splits.{name}"
            )
            return
    for name, value in view.splits.constants.items():
        yield (
            f"label {name}: is {value} in every row of the train split ({counts}); there is "
            "nothing to learn: add rows"
        )
