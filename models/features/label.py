"""Labels of a problem, as an export describes them: task, scale and classes."""

import dataclasses
import json
import math
from collections.abc import Sequence

from etils import epath

FILE_NAME = "label.json"
"""Name of the file in an export's `assets.extra/` that describes its labels."""


@dataclasses.dataclass(frozen=True)
class Label:
    """Label of a problem, with its statistics in the training split.

    Attributes:
        name: the label's column.
        task: regression, binary or multiclass.
        log: whether the model learns log(1 + label) (regression).
        mean, deviation: mean and standard deviation of the label (regression).
        log_mean, log_deviation: mean and standard deviation of log(1 + label) (regression).
        median: median of the label (regression).
        classes: the classes in ascending order; a binary label's second is the positive one.
        frequencies: share of each class in the training split.
        interval: share of the labels that prediction intervals should cover; None for predictions
            without an interval (regression).
        calibration: how far each end of the interval is moved outward after training, in units of
            the training targets.
        class_weights: loss weight of each class; empty if all classes weigh the same.
    """

    name: str
    task: str
    log: bool = False
    mean: float = math.nan
    deviation: float = math.nan
    log_mean: float = math.nan
    log_deviation: float = math.nan
    median: float = math.nan
    classes: tuple[str, ...] = ()
    frequencies: tuple[float, ...] = ()
    interval: float | None = None
    calibration: float = 0.0
    class_weights: tuple[float, ...] = ()

    @classmethod
    def of_export(cls, export: str) -> "Label":
        """Reads the first label of an exported model; `export` is a SavedModel's directory."""
        return labels_of_export(export)[0]


def labels_of_export(export: str) -> tuple[Label, ...]:
    """Reads all labels of an exported model, in order; `export` is a SavedModel's directory."""
    return from_json((epath.Path(export) / "assets.extra" / FILE_NAME).read_text())


def to_json(labels: Sequence[Label]) -> str:
    """Serializes labels as the content of `FILE_NAME`; `from_json` reads it."""
    return json.dumps({"labels": [dataclasses.asdict(label) for label in labels]}, indent=2)


def from_json(text: str) -> tuple[Label, ...]:
    """Reads the labels from the text that `to_json` returned."""
    labels = []
    for fields in json.loads(text)["labels"]:
        for name in ("classes", "frequencies", "class_weights"):
            fields[name] = tuple(fields[name])
        labels.append(Label(**fields))
    return tuple(labels)
