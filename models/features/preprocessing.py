"""The pipeline's `preprocessing_fn`, which turns raw columns into packed tensors."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from models.errors import UserError
from models.features import features as features_lib
from models.features import label_statistics, packed_tensors, raw_columns, scaling, vocabularies
from models.features.number_features import NumberFeatures
from models.features.packed_tensors import CATEGORICAL, INDICATOR, QUANTILE, SCALED, WEIGHT
from models.settings.column_settings import ColumnSettings


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, str]):
    """Turns raw columns into the tensors that `packed_tensors` lists.

    Args:
        inputs: raw columns by name: dense [batch, 1] if required, sparse if optional.
        custom_config: `schema` (text format) and `columns` (JSON of `ColumnSettings`).

    Returns:
        The packed tensors by name; kinds without any feature are left out.

    Raises:
        UserError: see `features.resolve`; a label or the weight is optional in the schema; or a
            regression label or the weight holds text.
    """
    settings, features = _resolved(custom_config)

    outputs: dict[str, Any] = {
        packed_tensors.sequence_name(feature.name): scaling.scale_lists(inputs[feature.name])
        for feature in features
        if feature.kind == features_lib.SEQUENCE
    }
    numbers = NumberFeatures(features, inputs)
    if numeric := [feature for feature in features if feature.kind in features_lib.NUMBERS]:
        outputs[SCALED], outputs[QUANTILE] = scaling.scale(numbers.matrix(numeric))
    if indicators := packed_tensors.indicators(features):
        outputs[INDICATOR] = raw_columns.arranged(numbers.indicators(), indicators)
    if categorical := [f for f in features if f.kind == features_lib.CATEGORICAL]:
        texts = raw_columns.read_texts(categorical, inputs)
        outputs[CATEGORICAL] = vocabularies.apply(texts, categorical)
    for index, label in enumerate(settings.labels):
        column = _required("label", label.name, inputs)
        outputs |= label_statistics.outputs(index, label.name, label.task, column)
    if settings.weight:
        outputs[WEIGHT] = _weight(settings.weight, _required("weight", settings.weight, inputs))
    return outputs


def columns_read(custom_config: Mapping[str, str]) -> list[str]:
    """Returns the raw columns that `preprocessing_fn` reads: of features, labels and the weight.

    Raises:
        UserError: see `features.resolve`.
    """
    settings, features = _resolved(custom_config)
    columns = [column.name for column in features_lib.columns_read(features)]
    return [*columns, *settings.label_names, *([settings.weight] if settings.weight else [])]


def _resolved(
    custom_config: Mapping[str, str],
) -> tuple[ColumnSettings, tuple[features_lib.Feature, ...]]:
    schema = text_format.Parse(custom_config["schema"], schema_pb2.Schema())
    settings = ColumnSettings.from_json(custom_config["columns"])
    return settings, features_lib.resolve(schema, settings)


def _required(role: str, name: str, inputs: Mapping[str, Any]) -> tf.Tensor:
    column = inputs[name]
    if isinstance(column, tf.SparseTensor):
        raise UserError(
            f"{role} {name}: missing in some rows (the schema calls it optional); remove the rows "
            "from the table, or give the column a shape in the schema"
        )
    return column


def _weight(name: str, column: tf.Tensor) -> tf.Tensor:
    if column.dtype == tf.string:
        raise UserError(f"weight {name}: holds text, expected numbers of zero or more")
    values = tf.cast(tf.reshape(column, [-1]), tf.float32)
    # Rows of CSV and Parquet files are checked before the run; all others are checked here.
    usable = tf.debugging.assert_non_negative(
        values, message=f"weight {name}: found a value that is negative or not a number"
    )
    with tf.control_dependencies([usable]):
        return tf.identity(values)
