"""Two things TFMA's extractors do not do: class numbers of text labels, and slices by bands."""

import copy
from collections.abc import Sequence

import apache_beam as beam
import numpy as np
import tensorflow_model_analysis as tfma

from components.evaluator.judgement import Slice
from models.label import Label


def custom_extractors(
    eval_shared_model, eval_config, tensor_adapter_config
) -> list[tfma.extractors.Extractor]:
    """TFMA's own extractors, with ours behind the one that reads the labels."""
    extractors = tfma.default_extractors(
        eval_shared_model=eval_shared_model,
        eval_config=eval_config,
        tensor_adapter_config=tensor_adapter_config,
    )
    models = eval_shared_model if isinstance(eval_shared_model, list) else [eval_shared_model]
    label = Label.of_export(models[0].model_path)
    slices = [Slice.of_key(key) for spec in eval_config.slicing_specs for key in spec.feature_keys]
    banded = [part for part in slices if part.bands]
    after = [extractor.stage_name for extractor in extractors].index("ExtractLabels") + 1
    ours = tfma.extractors.Extractor(
        "AddClassesAndBands", beam.Map(_add_classes_and_bands, label, banded)
    )
    return [*extractors[:after], ours, *extractors[after:]]


def _add_classes_and_bands(extracts, label: Label, banded: Sequence[Slice]):
    """Works on a batch: features and labels are arrays with a row for each example."""
    extracts = copy.copy(extracts)
    if label.classes:
        extracts[tfma.LABELS_KEY] = _map_arrays(
            extracts[tfma.LABELS_KEY], lambda value: _class_number(label, _text(value))
        )
    features = dict(extracts[tfma.FEATURES_KEY])
    for part in banded:
        features[part.key] = _map_arrays(
            features[part.column], lambda value, part=part: part.band(float(value))
        )
    extracts[tfma.FEATURES_KEY] = features
    return extracts


def _map_arrays(arrays, function):
    """Maps every value of an array, or of the arrays of each model."""
    if isinstance(arrays, dict):
        return {key: _map_arrays(array, function) for key, array in arrays.items()}
    if hasattr(arrays, "dense_shape"):  # an optional column: only some rows have a value
        values = np.array([function(value) for value in arrays.values])
        return type(arrays)(values, arrays.indices, arrays.dense_shape)
    return np.array([function(value) for value in np.ravel(arrays)]).reshape(-1, 1)


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
    # As in preprocessing, a number's class is its whole part.
    return value if isinstance(value, str) else str(int(value))
