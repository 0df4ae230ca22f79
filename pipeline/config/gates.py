"""The `gates` section of a configuration: bounds on the metrics of its labels."""

from collections.abc import Mapping
from typing import Any

from components.evaluator import bounds, metric_catalogue
from components.evaluator.bounds import Bound
from models.errors import nearest
from pipeline.config.pydantic_types import Mistakes, refuse

NEVER = "never"
"""Value of `gates` in a configuration that blesses, and so pushes, no model."""
NOTHING_COMPARED = (
    f"the configuration has gates: {NEVER}, so no model is compared or deployed; leave it out, or "
    "give gates bounds"
)
"""The message if a new baseline is requested under `gates: never`."""

Metrics = Mapping[str, tuple[str, ...]]
"""Names of the metrics of every label, by column, the main label first."""


def metrics(
    label: str, task: str, interval: float | None, further: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Returns the names of the metrics of every label, by column.

    Args:
        label: the main label's column.
        task: the task of the main label.
        interval: the coverage that its intervals aim at; None if it has no intervals.
        further: the task of each further label, by column.
    """
    return {label: tuple(metric_catalogue.of_task(task, bool(interval)))} | {
        column: tuple(metric_catalogue.of_task(its_task, intervals=False))
        for column, its_task in further.items()
    }


def read(section: Mapping[str, Any], task: str, known: Metrics) -> dict[str, Bound]:
    """Reads the section: values as `bounds.read` takes them, by name or `column/name`.

    Args:
        section: the section.
        task: the task of the main label.
        known: the metrics that may be bounded.

    Raises:
        ValidationError: the section has mistakes; it reports all of them.
        ValueError: no bound is absolute, see `bounds.no_absolute`.
    """
    label, *further = known
    keys = {*known[label], *(f"{column}/{name}" for column in further for name in known[column])}
    read_bounds: dict[str, Bound] = {}
    mistakes: Mistakes = []
    for key, values in section.items():
        if key not in keys:
            mistakes.append(((key,), _unknown(str(key), task, known)))
            continue
        read_bounds[key], wrong = bounds.read(key, values)
        mistakes += wrong
    refuse(mistakes)
    if message := bounds.no_absolute(read_bounds.values(), label, known[label]):
        raise ValueError(message)
    return read_bounds


def _unknown(key: str, task: str, known: Metrics) -> str:
    """Explains what is wrong with a key that names no metric in `known`."""
    label, *further = known
    column, slash, name = key.rpartition("/")
    if not slash:
        if key in metric_catalogue.of_task(task):
            return "there are no intervals to judge; add 'interval: 0.9'"
        return f"unknown metric{nearest(key, known[label])}"
    if column == label:
        return f"{label} is the label itself; write {name}"
    if column in known:
        return f"unknown metric{nearest(name, known[column])}"
    if not further:
        return f"there are no further labels; add 'more_labels: {{{column}: ...}}'"
    return f"{column} is not one of more_labels{nearest(column, further)}"
