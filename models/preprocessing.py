"""The one `preprocessing_fn`: raw columns in, packed tensors out.

Each kind of feature becomes one packed tensor, because a handful of wide tensors is parsed several
times faster than dozens of narrow ones:

| output        | shape        | holds                                                           |
|---------------|--------------|-----------------------------------------------------------------|
| `scaled`      | [batch, n]   | numbers, standardised and clipped to ±`CLIP`                    |
| `quantile`    | [batch, n]   | the same numbers as their position among the quantiles, 0 to 1  |
| `indicator`   | [batch, m]   | booleans as 0/1, and 1 where an optional column is missing      |
| `categorical` | [batch, c]   | indices into each column's vocabulary, out-of-vocabulary last   |
| label         | [batch]      | as in the raw example: numbers as float32, classes as text      |
| `label_statistics` | [batch, 6] | of the training split, the same in every row (regression)   |

`Layout` says which column stands where.
"""

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from models import features as features_lib
from models.features import Feature

SCALED = "scaled"
QUANTILE = "quantile"
INDICATOR = "indicator"
CATEGORICAL = "categorical"
LABEL = "label"
LABEL_STATISTICS = "label_statistics"
CLASSES_VOCABULARY = "label_classes"

QUANTILES = 48
"""Bins of the quantile encoding."""

CLIP = 4.0
"""Standardised values beyond are clipped: an outlier in a request must not explode the network."""

_NAN = np.float64(math.nan)
_INFINITY = np.float64(math.inf)

# A date becomes its day (a number like any other) and its place in the year and the week.
_DATE_PATTERN = r"^\s*(\d{4})[-/]?(0[1-9]|1[0-2])[-/]?(0[1-9]|[12]\d|3[01]).*$"
_DAYS_PER_YEAR = 365.2425


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names of what each packed tensor holds, in order."""

    numeric: tuple[str, ...]
    indicator: tuple[str, ...]
    categorical: tuple[str, ...]

    @classmethod
    def of(cls, features: Sequence[Feature]) -> "Layout":
        """The layout that `preprocessing_fn` gives these features."""
        numeric, indicator, categorical = [], [], []
        for feature in features:
            if feature.kind == features_lib.NUMERIC:
                numeric.append(feature.name)
            elif feature.kind == features_lib.DATE:
                numeric.append(feature.name)
                indicator += [f"{feature.name}:{part}" for part in _DATE_PARTS]
            elif feature.kind == features_lib.BOOLEAN:
                indicator.append(feature.name)
            else:
                categorical.append(feature.name)
            if feature.optional and feature.kind != features_lib.CATEGORICAL:
                indicator.append(f"{feature.name}:missing")
        return cls(tuple(numeric), tuple(indicator), tuple(categorical))


_DATE_PARTS = ("year_sin", "year_cos", "week_sin", "week_cos")


def vocabulary_name(column: str) -> str:
    """The name under which Transform keeps a category's vocabulary."""
    # Transform makes a file name of it, in which a.b and a_b would be the same.
    return f"vocabulary_{hashlib.sha256(column.encode()).hexdigest()[:8]}_{column}"


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, Any]):
    """Turns raw columns into the packed tensors listed at the top of this module.

    Args:
        inputs: raw columns: dense [batch, 1] where required, sparse where optional.
        custom_config: `schema` (text format), `features` (overrides by column), `label`, `task`.

    Returns:
        The packed tensors by name; kinds that no feature has are left out.

    Raises:
        ValueError: see `features.resolve`.
    """
    schema = text_format.Parse(custom_config["schema"], schema_pb2.Schema())
    features = features_lib.resolve(schema, custom_config["features"], custom_config["label"])

    numbers, indicator, categorical = [], [], []
    for feature in features:
        values, missing = _dense(inputs[feature.name])
        if feature.kind == features_lib.CATEGORICAL:
            categorical.append(_category(feature, values, missing))
            continue
        if feature.kind == features_lib.BOOLEAN:
            indicator.append(tf.where(missing, 0.0, _truth(values, feature.true_value)))
        elif feature.kind == features_lib.DATE:
            days, missing = _days(values, missing)
            indicator += [tf.where(missing, 0.0, part) for part in _cycles(days)]
            numbers.append(tf.where(missing, _NAN, tf.cast(days, tf.float64)))
        else:
            numbers.append(tf.where(missing, _NAN, tf.cast(values, tf.float64)))
        if feature.optional:
            indicator.append(tf.cast(missing, tf.float32))

    label = inputs[custom_config["label"]]
    if isinstance(label, tf.SparseTensor):
        raise ValueError(
            f"label {custom_config['label']}: some rows have none (the schema calls it optional); "
            "remove them from the table, or fix its shape in the schema"
        )
    outputs = _label(label, custom_config["task"])
    if numbers:
        outputs[SCALED], outputs[QUANTILE] = _scale(tf.stack(numbers, axis=1))
    if indicator:
        outputs[INDICATOR] = tf.stack(indicator, axis=1)
    if categorical:
        outputs[CATEGORICAL] = tf.stack(categorical, axis=1)
    return outputs


def _dense(column) -> tuple[tf.Tensor, tf.Tensor]:
    """Values and missing flags, both [batch]; missing values are zero or empty text."""
    if isinstance(column, tf.SparseTensor):
        shape = tf.stack([column.dense_shape[0], 1])
        there = tf.SparseTensor(column.indices, tf.ones_like(column.values, tf.int64), shape)
        missing = tf.equal(tf.sparse.to_dense(there), 0)
        values = tf.sparse.to_dense(tf.SparseTensor(column.indices, column.values, shape))
    else:
        values, missing = column, tf.zeros_like(column, tf.bool)
    values, missing = tf.reshape(values, [-1]), tf.reshape(missing, [-1])
    if values.dtype == tf.float32:
        missing = tf.logical_or(missing, tf.logical_not(tf.math.is_finite(values)))
    elif values.dtype == tf.string:
        missing = tf.logical_or(missing, tf.equal(values, ""))
    return values, missing


def _scale(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Standardised values and quantile positions; a missing number stands in the middle of both.

    The position rises by 1 / `QUANTILES` in each bin between neighbouring quantiles, linearly, so
    that the network can rebuild the piecewise-linear encoding of Gorishniy et al., "On Embeddings
    for Numerical Features in Tabular Deep Learning" (2022), section 3.2, from this one number: see
    `networks.PiecewiseLinear`. Where quantiles coincide the position jumps.

    Args:
        numbers: float64 [batch, n], NaN where missing. All columns are analyzed at once: one
            analyzer over n columns costs a fraction of n analyzers.
    """
    missing = tf.math.is_nan(numbers)
    # In double precision the moments do not depend on how Beam happens to cut its batches. They
    # and the quantiles pass over NaN; the extremes would not.
    # (Reshaped because of a single column tft makes a scalar.)
    columns = [numbers.shape[1]]
    mean = tf.reshape(tft.mean(numbers, reduce_instance_dims=False), columns)
    deviation = tf.sqrt(tf.reshape(tft.var(numbers, reduce_instance_dims=False), columns))
    inner = tft.quantiles(numbers, QUANTILES, epsilon=0.1 / QUANTILES, reduce_instance_dims=False)
    low = -tft.max(tf.where(missing, -_INFINITY, -numbers), reduce_instance_dims=False)
    high = tft.max(tf.where(missing, -_INFINITY, numbers), reduce_instance_dims=False)
    edges = [tf.reshape(low, [-1, 1]), tf.cast(inner, tf.float64), tf.reshape(high, [-1, 1])]
    edges = tf.concat(edges, axis=1)

    filled = tf.where(missing, tf.zeros_like(numbers) + mean, numbers)
    widths = edges[:, 1:] - edges[:, :-1]
    passed = filled[:, :, tf.newaxis] - edges[:, :-1]
    within = tf.where(
        widths > 0,
        tf.clip_by_value(passed / tf.where(widths > 0, widths, 1.0), 0.0, 1.0),
        tf.cast(passed > 0, tf.float64),
    )
    position = tf.cast(tf.reduce_mean(within, axis=2), tf.float32)
    standardised = (filled - mean) / tf.where(deviation > 0, deviation, 1.0)
    scaled = tf.cast(tf.clip_by_value(standardised, -CLIP, CLIP), tf.float32)
    return tf.where(missing, 0.0, scaled), tf.where(missing, 0.5, position)


def _category(feature: Feature, values, missing) -> tf.Tensor:
    """Index into the vocabulary; missing is a value of its own, unseen values follow by hash."""
    if values.dtype != tf.string:
        values = tf.strings.as_string(values)
    values = tf.where(missing, MISSING_TOKEN, values)
    return tft.compute_and_apply_vocabulary(
        values,
        top_k=feature.vocabulary,
        frequency_threshold=feature.min_count,
        num_oov_buckets=feature.oov_buckets,
        vocab_filename=vocabulary_name(feature.name),
    )


MISSING_TOKEN = "(missing)"


def _truth(values, true_value: str) -> tf.Tensor:
    if true_value:
        return tf.cast(tf.equal(values, true_value), tf.float32)
    if values.dtype == tf.string:
        return tf.cast(
            tf.strings.regex_full_match(tf.strings.lower(values), "true|t|yes|y|1"), tf.float32
        )
    return tf.cast(tf.not_equal(values, tf.zeros_like(values)), tf.float32)


def _days(text, missing) -> tuple[tf.Tensor, tf.Tensor]:
    """Days since 0000-03-01 of `2014-10-13`, `20141013T000000` and the like; else missing.

    The civil calendar's arithmetic: H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    """
    readable = tf.strings.regex_full_match(text, _DATE_PATTERN)
    missing = tf.logical_or(missing, tf.logical_not(readable))
    text = tf.where(missing, "2000-01-01", text)
    digits = tf.strings.regex_replace(text, _DATE_PATTERN, r"\1\2\3")
    year, month, day = (
        tf.strings.to_number(tf.strings.substr(digits, start, length), tf.int32)
        for start, length in ((0, 4), (4, 2), (6, 2))
    )
    year = year - tf.cast(month <= 2, tf.int32)
    months_since_march = tf.math.floormod(month + 9, 12)
    day_of_year = (153 * months_since_march + 2) // 5 + day - 1
    days = 365 * year + year // 4 - year // 100 + year // 400 + day_of_year
    return tf.cast(days, tf.float32), missing


def _cycles(days) -> list[tf.Tensor]:
    """Sine and cosine of the place in the year and in the week (`_DATE_PARTS`)."""
    # In single precision a vectorised sine differs in the last bit from that of a batch's rest.
    days = tf.cast(days, tf.float64)
    angles = [
        2 * math.pi * tf.math.floormod(days, period) / period for period in (_DAYS_PER_YEAR, 7.0)
    ]
    return [tf.cast(wave(angle), tf.float32) for angle in angles for wave in (tf.sin, tf.cos)]


def _label(column, task: str) -> dict[str, tf.Tensor]:
    values, _ = _dense(column)
    if task == "regression":
        doubles = tf.cast(values, tf.float64)
        logs = tf.math.log1p(tf.maximum(doubles, 0.0))
        median = tf.reshape(tft.quantiles(doubles, 2, epsilon=0.001), [-1])[0]
        moments = [tft.mean(doubles), tf.sqrt(tft.var(doubles))]
        moments += [tft.mean(logs), tf.sqrt(tft.var(logs))]
        low = -tft.max(-doubles)
        statistics = [tf.cast(value, tf.float32) for value in (*moments, median, low)]
        values = tf.cast(values, tf.float32)
        rows = tf.ones_like(values)[:, tf.newaxis]
        return {LABEL: values, LABEL_STATISTICS: rows * tf.stack(statistics)[tf.newaxis, :]}
    if values.dtype != tf.string:
        values = tf.strings.as_string(tf.cast(values, tf.int64))
    tft.vocabulary(values, store_frequency=True, vocab_filename=CLASSES_VOCABULARY)
    return {LABEL: values}
