"""Predictions of an exported model, as columns of text."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from models.errors import UserError
from pipeline.scoring.exported_model import ExportedModel, PredictedLabel
from pipeline.storage.workspace import plain_folder

Scorer = Callable[[list[bytes]], dict[str, list[str]]]
"""Function from serialized examples to the predicted columns, as text by name."""


def scorer(model: ExportedModel) -> Scorer:
    """Loads a model and returns a function that scores examples with it.

    Raises:
        UserError: the model cannot be loaded; the function raises it if the model fails.
    """
    import tensorflow as tf

    try:
        with plain_folder(model.directory) as path:
            signature = tf.saved_model.load(str(path)).signatures["predict"]
    except (KeyError, OSError, RuntimeError, TypeError, ValueError, tf.errors.OpError) as error:
        raise UserError(_unusable(model, "loaded", error)) from None

    def score(examples: list[bytes]) -> dict[str, list[str]]:
        try:
            outputs = signature(examples=tf.constant(examples))
        except tf.errors.OpError as error:
            raise UserError(_unusable(model, "used", error)) from None
        predicted = {}
        for index, label in enumerate(model.labels):
            predicted.update(columns(label, index == 0, outputs))
        return predicted

    return score


def _unusable(model: ExportedModel, how: str, error: Exception) -> str:
    lines = getattr(error, "message", str(error)).strip().splitlines() or [""]
    return (
        f"{model.directory}: cannot be {how}: {type(error).__name__}: {lines[0][:200]}; "
        "`run` trains and pushes a new one"
    )


def columns(
    label: PredictedLabel, is_first: bool, outputs: Mapping[str, Any]
) -> dict[str, list[str]]:
    """Returns the columns predicted for a label; outputs of the first label have no prefix."""
    prefix = "" if is_first else f"{label.name}/"
    name = f"predicted_{label.name}"
    if label.task == "regression":
        predicted = {name: _texts(outputs[f"{prefix}predictions"].numpy()[:, 0])}
        for bound in ("lower", "upper"):
            if prefix + bound in outputs:
                predicted[f"{name}_{bound}"] = _texts(outputs[prefix + bound].numpy()[:, 0])
        return predicted
    probabilities = _probabilities(prefix, label.task, outputs)
    if f"{prefix}classes" in outputs:
        classes = [value.decode() for value in outputs[f"{prefix}classes"].numpy()[:, 0]]
    else:
        classes = [label.classes[index] for index in probabilities.argmax(axis=1)]
    predicted = {name: classes}
    # Two labels may have the same classes.
    probability = "probability" if is_first else f"probability_{label.name}"
    for class_index, value in enumerate(label.classes):
        predicted[f"{probability}_{value}"] = _texts(probabilities[:, class_index])
    return predicted


def _probabilities(prefix: str, task: str, outputs: Mapping[str, Any]) -> np.ndarray:
    """Returns an array (rows, classes); a binary model may output only the second class."""
    if f"{prefix}probabilities" in outputs:
        return outputs[f"{prefix}probabilities"].numpy()
    if task == "binary":
        positive = outputs[f"{prefix}logistic"].numpy()
        return np.concatenate([1 - positive, positive], axis=1)
    raise UserError(f"the model's signature predict has no output {prefix}probabilities")


def _texts(values: np.ndarray) -> list[str]:
    """Formats numbers with nine digits, which distinguish any two float32 values."""
    return [f"{value:.9g}" for value in values.tolist()]
