"""Names of what a model predicts, and its serving signatures."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import tensorflow as tf

from models.estimator_api import PredictOutput
from models.features.label import Label

PREDICTIONS = "predictions"
LOWER = "lower"
UPPER = "upper"
LOGISTIC = "logistic"
PROBABILITIES = "probabilities"
CLASSES = "classes"

Outputs = dict[str, tf.Tensor]

_SCORED = {"regression": PREDICTIONS, "binary": LOGISTIC, "multiclass": PROBABILITIES}


def scored_outputs(label: Label) -> list[str]:
    """Returns the names of the outputs that the Evaluator scores for a label."""
    return [_SCORED[label.task]] + ([LOWER, UPPER] if label.interval else [])


class _Named(Protocol):
    @property
    def name(self) -> str: ...


def prefixes(labels: Sequence[_Named]) -> list[str]:
    """Returns the prefix of each label's output and metric names, such as `waterfront/`.

    Args:
        labels: the labels of one model, or their heads; the first one's prefix is empty.
    """
    return [f"{label.name}/" if index else "" for index, label in enumerate(labels)]


def export_outputs(predictions: Mapping[str, tf.Tensor]) -> dict[str, PredictOutput]:
    """Returns the serving signatures: `predict`, which is also the default signature."""
    output = PredictOutput(dict(predictions))
    return {"predict": output, "serving_default": output}
