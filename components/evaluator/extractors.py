"""What TFMA's extractors do not do: predictions by label, classes, bands."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma

from components.evaluator.eval_config import prefixes
from components.evaluator.judgement import Slice
from components.evaluator.packs import PackBySlice
from models import heads
from models.label import Label, labels_of_export
from models.values import class_of_number


def custom_extractors(
    eval_shared_model, eval_config, tensor_adapter_config
) -> list[tfma.extractors.Extractor]:
    """TFMA's own extractors up to the one that predicts, and ours behind them."""
    extractors = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    models = eval_shared_model if isinstance(eval_shared_model, list) else [eval_shared_model]
    of_models = {model.model_name: labels_of_export(model.model_path) for model in models}
    keys = [key for spec in eval_config.slicing_specs for key in spec.feature_keys]
    adjust = _Adjust(
        of_models[models[0].model_name],
        of_models,
        [part for part in map(Slice.of_key, keys) if part.bands],
    )
    after = [extractor.stage_name for extractor in extractors].index("ExtractPredictions") + 1
    return [
        *extractors[:after],
        tfma.extractors.Extractor("AdjustLabelsPredictionsAndBands", beam.Map(adjust)),
        # TFMA's name of the stage, which its evaluators ask for.
        tfma.extractors.Extractor("ExtractSliceKeys", beam.FlatMap(PackBySlice(keys))),
    ]


class _Adjust:
    """Works on a batch: features, labels and predictions are arrays with a row for each example.

    TFMA keeps labels and predictions by model, if there are several, and then by output.
    """

    def __init__(
        self,
        judged: Sequence[Label],
        of_models: Mapping[str, Sequence[Label]],
        banded: Sequence[Slice],
    ):
        """Keeps what to do.

        Args:
            judged: the candidate's labels.
            of_models: the labels of each model by its name.
            banded: slices by bands.
        """
        self._judged = judged
        self._of_models = of_models
        self._banded = banded

    def __call__(self, extracts):
        extracts = copy.copy(extracts)
        features = dict(extracts[tfma.FEATURES_KEY])
        labels = {label.name: _answers(label, features[label.name]) for label in self._judged}
        predicted = extracts[tfma.PREDICTIONS_KEY]
        if len(self._of_models) > 1:
            extracts[tfma.LABELS_KEY] = dict.fromkeys(self._of_models, labels)
            extracts[tfma.PREDICTIONS_KEY] = {
                name: self._by_label(own, predicted[name]) for name, own in self._of_models.items()
            }
        else:
            extracts[tfma.LABELS_KEY] = labels
            extracts[tfma.PREDICTIONS_KEY] = self._by_label(self._judged, predicted)
        for part in self._banded:
            features[part.key] = _map_array(
                features[part.column], lambda value, part=part: part.band(float(value))
            )
        extracts[tfma.FEATURES_KEY] = features
        return extracts

    def _by_label(self, own: Sequence[Label], predicted) -> dict[str, np.ndarray]:
        """What a model with its `own` labels predicts for each of the judged ones."""
        known = {label.name: (label, prefix) for label, prefix in zip(own, prefixes(own))}
        by_label = {}
        for label in self._judged:
            same, prefix = known[label.name]
            outputs = [_OUTPUT[label.task]]
            # Intervals that should cover another share are not comparable.
            if label.interval and same.interval == label.interval:
                outputs += [heads.LOWER, heads.UPPER]
            arrays = [_output(predicted, prefix + output) for output in outputs]
            by_label[label.name] = np.concatenate(
                [array.reshape(len(array), -1) for array in arrays], axis=1
            )
        return by_label


_OUTPUT = {
    "regression": heads.PREDICTIONS,
    "binary": heads.LOGISTIC,
    "multiclass": heads.PROBABILITIES,
}
"""The output that is judged, by task."""


def _output(predicted: Any, name: str) -> np.ndarray:
    if not isinstance(predicted, Mapping):  # TFMA's way with the only output of a model
        return np.asarray(predicted)
    if name not in predicted:
        raise ValueError(
            f"the model's signature 'predict' has no output {name}; it has "
            f"{', '.join(sorted(predicted))}"
        )
    return np.asarray(predicted[name])


def _answers(label: Label, column) -> np.ndarray:
    """A row for each example: the raw label, or the number of its class."""
    if hasattr(column, "dense_shape"):  # the schema does not say that every row has one
        if len(column.values) != column.dense_shape[0]:
            raise ValueError(f"label {label.name}: is missing in a row of the test split")
        column = column.values
    if label.classes:
        return _map_array(column, lambda value: _class_number(label, _text(value)))
    return np.reshape(column, (-1, 1))


def _map_array(array, function):
    """Maps every value of an array."""
    if hasattr(array, "dense_shape"):  # an optional column: only some rows have a value
        values = np.array([function(value) for value in array.values])
        return type(array)(values, array.indices, array.dense_shape)
    return np.array([function(value) for value in np.ravel(array)]).reshape(-1, 1)


def _class_number(label: Label, value: str) -> int:
    """-1 of a class that the train split does not have; a binary label cannot have a third one."""
    if value in label.classes:
        return label.classes.index(value)
    if label.task == "binary":
        raise ValueError(
            f"label {label.name}: found {value!r} in the test split, expected "
            f"{' or '.join(label.classes)} as in the train split; mend the table or set "
            "task: multiclass"
        )
    return -1


def _text(value) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (float, np.floating)):
        return class_of_number(float(value))
    return str(value)
