"""The pipeline's examples in the form that reference models take: tables of pandas.

References get the same information as our models: the configuration's ordinal codes as numbers, its
derived features, and the log of the label where our models learn that.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils

from models.features import expressions
from models.features import features as features_lib
from models.features.features import Feature
from models.features.label import Label

SPLITS = ("train", "eval", "test")


@dataclasses.dataclass(frozen=True)
class ReferenceData:
    """The examples of the three splits, in the form that references take.

    Attributes:
        label: the label and its statistics in train.
        features: features by split: numbers, with NaN where missing, and pandas categories.
        labels: labels by split: numbers, or 0 and 1.
    """

    label: Label
    features: Mapping[str, pd.DataFrame]
    labels: Mapping[str, np.ndarray]

    @property
    def categories(self) -> list[str]:
        """The names of the categorical columns."""
        return list(self.features["train"].select_dtypes("category"))

    @property
    def targets(self) -> dict[str, np.ndarray]:
        """The labels by split, on the scale on which they are learned."""
        return {k: np.log1p(v) if self.label.log else v for k, v in self.labels.items()}


def read(
    files: Mapping[str, Sequence[str]],
    schema: schema_pb2.Schema,
    features: Sequence[Feature],
    label: Label,
) -> ReferenceData:
    """Reads the raw examples of the three splits.

    Args:
        files: gzipped TFRecords of raw examples, by split.
        schema: schema of the raw examples.
        features: features, resolved from the configuration and the schema.
        label: the label, with its statistics in train.
    """
    spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    used = [column.name for column in features_lib.columns_read(features)]
    raw = {
        split: _parse(files[split], {n: spec[n] for n in (*used, label.name)}) for split in SPLITS
    }
    tables = {split: _table(features, raw[split]) for split in SPLITS}
    for name in tables["train"].select_dtypes("object"):
        # Categories unseen in train become missing.
        kind = pd.CategoricalDtype(sorted(tables["train"][name].dropna().unique()))
        for table in tables.values():
            table[name] = table[name].astype(kind)
    return ReferenceData(label, tables, {split: _labels(label, raw[split]) for split in SPLITS})


def _parse(files: Sequence[str], spec: Mapping[str, Any]) -> pd.DataFrame:
    records = list(tf.data.TFRecordDataset(list(files), "GZIP").as_numpy_iterator())
    columns = {}
    for name, column in tf.io.parse_example(records, spec).items():
        values = np.full(len(records), None, object)
        if isinstance(column, tf.SparseTensor):
            values[column.indices.numpy()[:, 0]] = column.values.numpy()
        else:
            values[:] = column.numpy().reshape(-1)
        columns[name] = values
    return pd.DataFrame(columns)


def _labels(label: Label, raw: pd.DataFrame) -> np.ndarray:
    if label.task == "regression":
        return raw[label.name].to_numpy(np.float64)
    if label.task != "binary":
        raise ValueError(f"references know regression and binary labels, not {label.task}")
    return (raw[label.name].map(_text) == label.classes[1]).to_numpy(np.float64)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _table(features: Sequence[Feature], raw: pd.DataFrame) -> pd.DataFrame:
    columns = {}
    for feature in features:
        if feature.kind == features_lib.CATEGORICAL:
            columns[feature.name] = raw[feature.name].map(_text, na_action="ignore")
            continue
        columns[feature.name] = values = _numeric(feature, raw)
        if feature.kind == features_lib.DATE:
            # Day 0 is a Thursday.
            columns[f"{feature.name}_of_year"] = values % 365.2425
            columns[f"{feature.name}_of_week"] = (values + 3) % 7
    return pd.DataFrame(columns)


def _numeric(feature: Feature, raw: pd.DataFrame) -> pd.Series:
    """Returns the values of a numeric feature, NaN where missing; dates as days since 1970."""
    if feature.kind == features_lib.DERIVED:
        operands = {operand.name: _numeric(operand, raw) for operand in feature.operands}
        evaluate = expressions.parse(feature.expression).evaluate
        return evaluate(
            operands.__getitem__, lambda value: pd.Series(value, raw.index, dtype=float), _step
        )
    column = raw[feature.name]
    if feature.kind == features_lib.ORDINAL:
        ranks = {value: rank for rank, value in enumerate(feature.order)}
        if feature.dtype == "text":
            column = column.map(_text, na_action="ignore")
        column = column.map(ranks)
    elif feature.kind == features_lib.BOOLEAN and feature.dtype == "text":
        true = {feature.true_value} if feature.true_value else {"true", "t", "yes", "y", "1"}
        text = column.map(_text, na_action="ignore")
        text = text if feature.true_value else text.str.lower()
        column = text.isin(true).where(text.notna())
    elif feature.kind == features_lib.DATE:
        text = column.map(_text, na_action="ignore").str.replace(r"[-/]", "", regex=True).str[:8]
        days = pd.to_datetime(text, format="%Y%m%d", errors="coerce")
        column = (days - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
    elif feature.kind not in (features_lib.NUMERIC, features_lib.BOOLEAN):
        raise ValueError(f"column {feature.name}: references know no {feature.kind}")
    column = column.astype(float)
    return column.where(np.isfinite(column))


_STEPS: dict[str, Callable] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
    "negative": np.negative,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "min": lambda *values: functools.reduce(np.minimum, values),
    "max": lambda *values: functools.reduce(np.maximum, values),
}


def _step(name: str, arguments: list[pd.Series]) -> pd.Series:
    """Evaluates a step of an expression; missing operands and non-finite results give NaN."""
    with np.errstate(all="ignore"):
        result = _STEPS[name](*arguments)
    is_defined = np.isfinite(result) & np.logical_and.reduce([a.notna() for a in arguments])
    return result.where(is_defined)
