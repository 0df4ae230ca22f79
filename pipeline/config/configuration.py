"""The typed, validated and frozen configuration of one problem.

`config_file.load` reads a `Config` from a YAML file.
"""

import pathlib
from typing import Any

import pydantic

from components.evaluator import criteria as criteria_lib
from components.evaluator.bounds import Bound
from components.evaluator.criteria import Criteria
from models.features import expressions
from pipeline.config import gates
from pipeline.config.beam_config import Beam
from pipeline.config.column_config import Feature, FurtherLabel, Slice, Task, unfit_for_task
from pipeline.config.data_config import Data, Splits
from pipeline.config.kubeflow_config import Kubeflow
from pipeline.config.pydantic_types import (
    ClassWeights,
    Count,
    Mistakes,
    Number,
    Section,
    Text,
    mapping,
    path_text,
    refuse,
)
from pipeline.config.train_config import Model, Train
from pipeline.config.tune_config import Tune, fits_training


class Push(Section):
    """The `push` section: where blessed models go; by default `serving/` in the workspace."""

    directory: pathlib.Path | None = None

    _usable = pydantic.validator("directory", pre=True, allow_reuse=True)(path_text)


class Config(Section):
    """The configuration of one problem. See docs/configuration.md for each key."""

    name: pydantic.constr(strict=True, regex=r"^[a-z][a-z0-9_]*$")  # type: ignore[valid-type]
    task: Task
    label: Text
    log_label: pydantic.StrictBool | None = None
    interval: Number | None = None
    class_weights: ClassWeights | None = None
    more_labels: dict[pydantic.StrictStr, FurtherLabel] = {}
    weight: Text | None = None
    data: Data
    splits: Splits = Splits()
    features: dict[pydantic.StrictStr, Feature] = {}
    derived: dict[pydantic.StrictStr, Text] = {}
    model: Model = Model()
    train: Train = Train()
    tune: Tune | None = None
    presets: dict[pydantic.StrictStr, dict[pydantic.StrictStr, Any]] = {}
    gates: dict[str, Bound] | None = pydantic.Field(...)
    slices: tuple[Slice, ...] = ()
    beam: Beam = Beam()
    memory_mb: Count | None = None
    push: Push = Push()
    kubeflow: Kubeflow | None = None
    file: pathlib.Path
    folder: pathlib.Path

    _mappings = pydantic.validator(
        "features", "derived", "more_labels", pre=True, allow_reuse=True
    )(mapping)

    @pydantic.validator("gates", pre=True)
    def _bounds_or_never(cls, value, values):
        if value == gates.NEVER:
            return None
        if value is None:
            raise pydantic.NoneIsNotAllowedError()
        if not isinstance(value, dict):
            raise ValueError(
                f"expected bounds, such as {{rmse: {{at_most: 140000}}}}, or {gates.NEVER} to "
                "bless and push no model"
            )
        if not {"task", "label", "interval", "more_labels"} <= values.keys():
            return None  # the mistakes in these are reported; until then no metric is known
        label, task = values["label"], values["task"]
        further = {name: more.task for name, more in values["more_labels"].items() if name != label}
        return gates.read(value, task, gates.metrics(label, task, values["interval"], further))

    _fits_training = pydantic.validator("tune", allow_reuse=True)(fits_training)

    @pydantic.validator("interval")
    def _coverage(cls, value):
        if value is not None and not 0 < value < 1:
            raise ValueError("expected a share of the labels between 0 and 1, such as 0.9")
        return value

    @pydantic.validator("derived")
    def _arithmetic(cls, value):
        mistakes: Mistakes = []
        for name, text in value.items():
            try:
                expressions.parse(text)
            except ValueError as error:
                mistakes.append(((name,), str(error)))
        refuse(mistakes)
        return value

    @property
    def tasks(self) -> dict[str, Task]:
        """The task of each label, by column."""
        return {self.label: self.task} | {
            name: label.task for name, label in self.more_labels.items()
        }

    @property
    def criteria(self) -> Criteria:
        """The criteria that the Evaluator judges a model by."""
        further = {name: label.task for name, label in self.more_labels.items()}
        return Criteria(
            metrics=gates.metrics(self.label, self.task, self.interval, further),
            bounds=tuple((self.gates or {}).values()),
            slices=tuple(
                criteria_lib.Slice(part.column, part.bands or (), part.gate) for part in self.slices
            ),
        )

    @pydantic.root_validator(skip_on_failure=True)
    def _fits_together(cls, values):
        label, more, weight = values["label"], values["more_labels"], values["weight"]
        roles = {weight: "the weight", **dict.fromkeys(more, "a label"), label: "the label"}
        mistakes: Mistakes = [
            (("features", name), f"this is {roles[name]}; remove it from features")
            for name in values["features"]
            if name in roles
        ]
        mistakes += unfit_for_task(values)
        if label in more:
            mistakes.append((("more_labels", label), "this is the label; remove it from here"))
        if weight in (label, *more):
            mistakes.append((("weight",), f"{weight} is a label; name another column"))
        if any(part.column == label and not part.bands for part in values["slices"]):
            message = f"{label} is the label; give bands, such as [250000, 500000]"
            mistakes.append((("slices",), message))
        refuse(mistakes)
        return values
