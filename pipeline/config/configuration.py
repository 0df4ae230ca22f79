"""The typed, validated and frozen configuration of one problem.

`config_file.load` reads a `Config` from a YAML file.
"""

import pathlib
from typing import Any, Literal

import pydantic

from components.evaluator import criteria as criteria_lib
from components.evaluator.bounds import Bound
from components.evaluator.criteria import Criteria
from models.features import expressions
from pipeline.config import gates
from pipeline.config.cluster_config import Cluster
from pipeline.config.data_config import Data, Splits
from pipeline.config.kubeflow_config import Kubeflow
from pipeline.config.pydantic_types import (
    ClassWeights,
    Code,
    Count,
    Natural,
    Number,
    Section,
    Text,
    mapping,
    path_text,
    refuse,
)
from pipeline.config.tune_config import Tune, fits_training

Mistakes = list[tuple[tuple[str, ...], str]]
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
            raise ValueError(f"expected each value once, with {repeated[0]!r} but one time")
        if value is not None and len(value) < 2:
            raise ValueError("expected two values or more, rising, as [low, medium, high]")
        if len({type(code) for code in value or ()}) > 1:
            raise ValueError("expected text alone or whole numbers alone")
        return value

    @pydantic.root_validator(skip_on_failure=True)
    def _order_of_ordinals(cls, values):
        if values["kind"] == "ordinal" and not values["order"]:
            raise ValueError(
                "missing its order; add 'order: [...]' (the values, rising, as [low, medium, high])"
            )
        if values["kind"] != "ordinal" and values["order"]:
            kind = values["kind"]
            refuse([(("order",), f"only for ordinal, but the kind is {kind}")])
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
        refuse(_unfit_for_task(values))
        return values


def _unfit_for_task(values) -> Mistakes:
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


class Model(Section):
    """The `model` section: which model is trained, and with which parameters.

    Attributes:
        name: a registered name, or the dotted path of a `model_fn` in an importable module or in a
            file beside the configuration.
        params: the parameters passed to the `model_fn`, which validates them.
    """

    name: Text = "tabm"
    params: dict[pydantic.StrictStr, Any] = {}

    _mapping = pydantic.validator("params", pre=True, allow_reuse=True)(mapping)


class EarlyStopping(Section):
    """The rule that stops training when the eval loss has not fallen for `patience` steps."""

    patience: Count


class Train(Section):
    """The `train` section: how long and how the model is trained.

    Attributes:
        max_steps, epochs: the length of training, as one of the two; by default chosen by the
            number of examples.
        batch_size: examples per step; by default chosen likewise.
        evaluate_every: steps between checkpoints; each is evaluated on the eval split, and the one
            with the lowest loss is exported. By default a seventh of the training.
        keep_checkpoints: how many checkpoints are kept.
        cache_mb: transformed data up to this size is kept decoded in memory, and takes twice that
            while it is read.
        cluster: the tasks or devices that train together; by default one process on one device.
    """

    max_steps: Count | None = None
    epochs: Count | None = None
    batch_size: Count | None = None
    evaluate_every: Count | None = None
    keep_checkpoints: Count = 5
    early_stopping: EarlyStopping | None = None
    cache_mb: Natural = 256
    seed: Natural = 42
    cluster: Cluster | None = None

    @pydantic.root_validator(skip_on_failure=True)
    def _one_length(cls, values):
        if values["max_steps"] and values["epochs"]:
            raise ValueError("expected max_steps or epochs, found both: remove one")
        return values

    @pydantic.root_validator(skip_on_failure=True)
    def _fits_replicas(cls, values):
        size, cluster = values["batch_size"], values["cluster"]
        if not cluster or not cluster.mirrored:
            return values
        if values["early_stopping"]:
            # TensorFlow's early-stopping hook fetches a per-replica value, which cannot be fetched.
            message = "not with cluster.mirrored, whose trainings go to their end; remove the one"
            refuse([(("early_stopping",), message)])
        if size and size % cluster.mirrored:
            message = (
                f"found {size}, expected a multiple of train.cluster.mirrored, {cluster.mirrored}: "
                "each replica gets the same part of a batch"
            )
            refuse([(("batch_size",), message)])
        return values


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
            raise ValueError("expected edges in rising order, as [250000, 500000]")
        return value


class Beam(Section):
    """The `beam` section: where the data-parallel steps run.

    Attributes:
        args: arguments of Beam's command line; by default the steps run on this machine.
        workers: the number of worker processes on this machine; by default
            `pipeline.local.worker_count`.
    """

    args: tuple[pydantic.StrictStr, ...] = ()
    workers: Count | None = None

    @pydantic.root_validator(skip_on_failure=True)
    def _one_place(cls, values):
        if values["args"] and values["workers"]:
            refuse(
                [
                    (
                        ("workers",),
                        "only for this machine, but beam.args give the work to an engine; remove "
                        "one of the two",
                    )
                ]
            )
        return values


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
                f"expected bounds, as {{rmse: {{at_most: 140000}}}}, or {gates.NEVER} to bless and "
                "push no model"
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
            raise ValueError("expected a share of the labels between 0 and 1, as 0.9")
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
        mistakes += _unfit_for_task(values)
        if label in more:
            mistakes.append((("more_labels", label), "this is the label; remove it from here"))
        if weight in (label, *more):
            mistakes.append((("weight",), f"{weight} is a label; name another column"))
        if any(part.column == label and not part.bands for part in values["slices"]):
            message = f"{label} is the label; give bands, as [250000, 500000]"
            mistakes.append((("slices",), message))
        refuse(mistakes)
        return values
