"""Extractors that add to TFMA's: requests without labels, row checks, class indices and bands."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import tensorflow as tf
import tensorflow_model_analysis as tfma

from components.evaluator import row_checks
from components.evaluator.criteria import Slice
from components.evaluator.eval_config import BASELINE
from components.evaluator.row_checks import Finding
from components.evaluator.slice_batches import FINDINGS, PackBySlice
from components.example_io import requests
from components.serving_check import graph_faults
from components.serving_check.program import message
from models.errors import UserError
from models.features import export_inputs
from models.features.label import Label, labels_of_export
from models.features.text_values import class_of_number
from models.toolbox import heads


def custom_extractors(
    eval_shared_model, eval_config, tensor_adapter_config
) -> list[tfma.extractors.Extractor]:
    """Returns the extractors that replace TFMA's: predictions, features, labels and slices."""
    models = eval_shared_model if isinstance(eval_shared_model, list) else [eval_shared_model]
    model_labels = {model.model_name: labels_of_export(model.model_path) for model in models}
    keys = [key for spec in eval_config.slicing_specs for key in spec.feature_keys]
    adjust = _Adjust(
        model_labels[models[0].model_name],
        model_labels,
        [part for part in map(Slice.of_key, keys) if part.bands],
    )
    return [
        tfma.extractors.Extractor(
            "ExtractPredictions",
            beam.ParDo(_Predict([_Model(model) for model in models])),
        ),
        tfma.extractors.FeaturesExtractor(
            eval_config, tensor_adapter_config and tensor_adapter_config.tensor_representations
        ),
        tfma.extractors.Extractor("AdjustLabelsPredictionsAndBands", beam.Map(adjust)),
        # TFMA's evaluators look for a stage of this name.
        tfma.extractors.Extractor("ExtractSliceKeys", beam.FlatMap(PackBySlice(keys))),
    ]


class _Model:
    """An exported model that is called as a server calls it; see `ask`."""

    def __init__(self, shared: tfma.types.EvalSharedModel):
        self.name = shared.model_name
        self._path = shared.model_path
        self._loader = shared.model_loader
        self._labels = labels_of_export(shared.model_path)
        self._columns = [column.name for column in export_inputs.of_export(shared.model_path)]
        self._predict: Any = None
        self._input = ""
        self._failure = ""

    def load(self) -> None:
        """Loads the model; a failure is raised, but for a baseline it is kept as a finding."""
        if self.name == BASELINE and graph_faults.of_export(self._path).python:
            # Here it would find no function or, worse, one of the candidate's under the same token.
            self._failure = "it calls a Python function of the process that trained it"
            return
        try:
            # Keep a reference to the model: its variables live only as long.
            self._loaded = self._loader.load()
            self._predict = self._loaded.signatures["predict"]
            (self._input,) = self._predict.structured_input_signature[1]
        except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
            if self.name != BASELINE:
                raise
            self._failure = message(error)

    def ask(self, batch) -> tuple[dict[str, np.ndarray], list[Finding]]:
        """Returns the predictions for a record batch, and the findings on them.

        The model receives only the columns that it reads: anything else in the table, such as the
        label, is not part of a request.
        """
        rows = batch.num_rows

        def describe(row: int) -> str:
            return requests.describe(batch, row, self._columns)

        failures = [Finding("the model cannot be loaded", rows, self._failure)]
        if not self._failure:
            examples = tf.constant(requests.serialize(batch, self._columns), tf.string)
            try:
                outputs = self._predict(**{self._input: examples})
            except tf.errors.OpError as error:
                failures = [Finding("the model fails", rows, message(error))]
            else:
                arrays = {name: _array(tensor) for name, tensor in outputs.items()}
                return row_checks.check(arrays, self._labels, rows, describe)
        nothing, _ = row_checks.check({}, self._labels, rows, describe)
        return nothing, failures


def _array(tensor) -> np.ndarray:
    if tensor.dtype in (tf.bfloat16, tf.half):
        tensor = tf.cast(tensor, tf.float32)
    return tensor.numpy()


class _Predict(beam.DoFn):
    """Adds the models' predictions for a batch, and the findings on them, to the extracts.

    TFMA's own extractor sends whole examples, labels included, and falls back to single rows if a
    model does not return one prediction per row of a batch.
    """

    def __init__(self, models: Sequence[_Model]):
        self._models = models

    def setup(self) -> None:
        """Loads the models."""
        for model in self._models:
            model.load()

    def process(self, extracts) -> Iterator[dict[str, Any]]:
        """Yields the extracts with predictions and findings, by model if there are several."""
        batch = extracts[tfma.ARROW_RECORD_BATCH_KEY]
        predicted: dict[str, Any] = {}
        findings: dict[str, Any] = {}
        for model in self._models:
            predicted[model.name], findings[model.name] = model.ask(batch)
        if len(self._models) == 1:
            # TFMA drops the name of a single model.
            predicted, findings = predicted[model.name], {"": findings[model.name]}
        yield {**extracts, tfma.PREDICTIONS_KEY: predicted, FINDINGS: findings}


class _Adjust:
    """Callable that brings the labels, predictions and bands of a batch into our metrics' form.

    All are arrays with one row per example. TFMA keeps labels and predictions by model, if there
    are several, and then by output.
    """

    def __init__(
        self,
        judged: Sequence[Label],
        of_models: Mapping[str, Sequence[Label]],
        banded: Sequence[Slice],
    ):
        """Creates the callable.

        Args:
            judged: labels of the candidate.
            of_models: labels of each model, by the model's name.
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
                name: self._by_label(model_labels, predicted[name])
                for name, model_labels in self._of_models.items()
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

    def _by_label(self, model_labels: Sequence[Label], predicted) -> dict[str, np.ndarray]:
        """Returns the predictions of a model with these labels for each judged label."""
        known = {
            label.name: (label, prefix)
            for label, prefix in zip(model_labels, heads.prefixes(model_labels))
        }
        by_label = {}
        for label in self._judged:
            same, prefix = known[label.name]
            # Intervals meant to cover different shares are not comparable.
            outputs = heads.scored_outputs(label)
            if same.interval != label.interval:
                outputs = outputs[:1]
            arrays = [predicted[prefix + output] for output in outputs]
            by_label[label.name] = np.concatenate(arrays, axis=1)
        return by_label


def _answers(label: Label, column) -> np.ndarray:
    """Returns the raw labels, or the indices of their classes, of shape [rows, 1]."""
    if hasattr(column, "dense_shape"):  # the schema does not say that every row has one
        if len(column.values) != column.dense_shape[0]:
            raise UserError(f"label {label.name}: is missing in a row of the test split")
        column = column.values
    if label.classes:
        return _map_array(column, lambda value: _class_number(label, _text(value)))
    return np.reshape(column, (-1, 1))


def _map_array(array, function):
    """Applies a function to every value of an array, which may be sparse."""
    if hasattr(array, "dense_shape"):  # an optional column: only some rows have a value
        values = np.array([function(value) for value in array.values])
        return type(array)(values, array.indices, array.dense_shape)
    return np.array([function(value) for value in np.ravel(array)]).reshape(-1, 1)


def _class_number(label: Label, value: str) -> int:
    """Returns a class's index; -1 if the train split lacks it, which a binary label may not."""
    if value in label.classes:
        return label.classes.index(value)
    if label.task == "binary":
        raise UserError(
            f"label {label.name}: found {value!r} in the test split, expected "
            f"{' or '.join(label.classes)} as in the train split; fix the table or set "
            "task: multiclass"
        )
    return -1


def _text(value) -> str:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, (float, np.floating)):
        return class_of_number(float(value))
    return str(value)
