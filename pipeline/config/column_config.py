"""The sections of a configuration about columns: `features`, `more_labels` and `slices`."""

from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from pipeline.config.pydantic_types import (
    ClassWeights,
    Code,
    Count,
    Mistakes,
    Number,
    Section,
    Text,
    refuse,
)

Task = Literal["regression", "binary", "multiclass"]


class Feature(Section):
    """The settings of one column, where the schema alone does not determine its use.

    Attributes:
        kind: `ignore` keeps the column out of the model.
        vocabulary: how many of the most frequent values get their own index (categorical).
        min_count: values that occur less often share the out-of-vocabulary buckets (categorical).
        oov_buckets: hash buckets for unseen values (categorical).
        order: the values in ascending order (ordinal).
    """

    kind: Literal["numeric", "ordinal", "categorical", "boolean", "date", "sequence", "ignore"]
    vocabulary: Count = 10_000
    min_count: Count = 5
    oov_buckets: Count = 1
    order: tuple[Code, ...] | None = None

    @pydantic.validator("order")
    def _distinct(cls, value):
        repeated = [code for code in value or () if value.count(code) > 1]
        if repeated:
            raise ValueError(f"expected each value once, but {repeated[0]!r} is repeated")
        if value is not None and len(value) < 2:
            raise ValueError(
                "expected two or more values in ascending order, such as [low, medium, high]"
            )
        if len({type(code) for code in value or ()}) > 1:
            raise ValueError("expected only text or only whole numbers")
        return value

    @pydantic.root_validator(skip_on_failure=True)
    def _order_of_ordinals(cls, values):
        if values["kind"] == "ordinal" and not values["order"]:
            raise ValueError(
                "missing its order; add the values in ascending order, such as "
                "'order: [low, medium, high]'"
            )
        if values["kind"] != "ordinal" and values["order"]:
            kind = values["kind"]
            refuse([(("order",), f"only for ordinal columns, but the kind is {kind}")])
        return values


class FurtherLabel(Section):
    """A further label, learned and judged beside the main one.

    Attributes:
        task, log_label, class_weights: as for the main label.
    """

    task: Task
    log_label: pydantic.StrictBool | None = None
    class_weights: ClassWeights | None = None

    @pydantic.root_validator(skip_on_failure=True)
    def _fits_the_task(cls, values):
        refuse(unfit_for_task(values))
        return values


def unfit_for_task(values: Mapping[str, Any]) -> Mistakes:
    """Returns a mistake for each setting of a label that does not apply to its task."""
    task = values["task"]
    for_numbers = [key for key in ("log_label", "interval") if values.get(key)]
    mistakes: Mistakes = []
    if task != "regression":
        mistakes += [
            ((key,), f"only for regression, but the task is {task}") for key in for_numbers
        ]
    elif values.get("class_weights"):
        mistakes.append((("class_weights",), "only for classes, but the task is regression"))
    return mistakes


class Slice(Section):
    """A column by which the test split is divided into slices that are judged on their own.

    Attributes:
        column: the column; each of its values is a slice, unless `bands` is given.
        bands: the edges, in ascending order, of the bands that are the slices of a numeric column.
        gate: whether the change bounds apply; if false, the slices are only reported.
    """

    column: Text
    bands: tuple[Number, ...] | None = None
    gate: pydantic.StrictBool = True

    @pydantic.validator("bands")
    def _rising(cls, value):
        if value is not None and (not value or list(value) != sorted(set(value))):
            raise ValueError("expected edges in ascending order, such as [250000, 500000]")
        return value
