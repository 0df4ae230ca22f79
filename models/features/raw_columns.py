"""Raw columns as dense tensors: numbers with NaN where missing, and text.

Columns of the same form are read together, so that the graph for a thousand columns is not much
larger than the graph for ten.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models.features import features as features_lib
from models.features import text_values
from models.features.features import Feature

MISSING_TOKEN = "(missing)"
"""Category of a missing value."""
NAN = np.float64("nan")


@dataclasses.dataclass(frozen=True)
class Block:
    """Columns side by side: `tensor` [batch, k] holds one column for each of the k `keys`."""

    keys: list[Any]
    tensor: tf.Tensor


def arranged(blocks: Sequence[Block], keys: Sequence[Any]) -> tf.Tensor:
    """Returns the columns of these keys, in this order: [batch, len(keys)]."""
    blocks = [block for block in blocks if len(block.keys)]
    positions = {key: index for index, key in enumerate(key for b in blocks for key in b.keys)}
    joined = blocks[0].tensor if len(blocks) == 1 else tf.concat([b.tensor for b in blocks], 1)
    order = [positions[key] for key in keys]
    return joined if order == list(range(len(positions))) else tf.gather(joined, order, axis=1)


def alike(columns: Sequence[Feature], inputs: Mapping[str, Any]) -> list[list[Feature]]:
    """Groups columns that can be read together."""
    groups: dict[Any, list[Feature]] = {}
    for column in columns:
        tensor = inputs[column.name]
        form = (tensor.dtype, isinstance(tensor, tf.SparseTensor), column.true_value, column.order)
        groups.setdefault(form, []).append(column)
    return list(groups.values())


def read_numbers(columns: Sequence[Feature], inputs: Mapping[str, Any]) -> tf.Tensor:
    """Reads columns of one form (no categories or lists): float64 [batch, k], NaN if missing."""
    values, missing = dense([inputs[column.name] for column in columns])
    first = columns[0]
    if first.kind == features_lib.BOOLEAN:
        values, missing = _truth(values, missing, first.true_value)
    elif first.kind == features_lib.DATE:
        values, missing = _days(values, missing)
    elif first.kind == features_lib.ORDINAL:
        values, missing = _index_in_order(first.order, values, missing)
    return tf.where(missing, NAN, tf.cast(values, tf.float64))


def read_texts(columns: Sequence[Feature], inputs: Mapping[str, Any]) -> tf.Tensor:
    """Returns categorical columns as text [batch, c]; missing values become `MISSING_TOKEN`."""
    blocks = []
    for group in alike(columns, inputs):
        values, missing = dense([inputs[column.name] for column in group])
        if values.dtype != tf.string:
            values = tf.strings.as_string(values)
        names = [column.name for column in group]
        blocks.append(Block(names, tf.where(missing, MISSING_TOKEN, values)))
    return arranged(blocks, [column.name for column in columns])


def or_zero(values: tf.Tensor) -> tf.Tensor:
    """Replaces NaN by zero."""
    return tf.where(tf.math.is_nan(values), tf.zeros_like(values), values)


def dense(columns: Sequence[Any]) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns values and missing flags, both [batch, k].

    Args:
        columns: columns of one dtype; all dense [batch, 1], or all sparse.
    """
    if isinstance(columns[0], tf.SparseTensor):
        shapes = tf.stack([column.dense_shape for column in columns])
        single = tf.debugging.assert_less_equal(
            tf.reduce_max(shapes[:, 1]),
            np.int64(1),
            message="a column holds several values in a row",
        )
        with tf.control_dependencies([single]):
            # A sparse column without a value in this batch has width 0.
            shape = tf.stack([shapes[0, 0], 1])
        joined = tf.sparse.concat(
            1, [tf.SparseTensor(column.indices, column.values, shape) for column in columns]
        )
        present = tf.SparseTensor(
            joined.indices, tf.ones_like(joined.values, tf.int64), joined.dense_shape
        )
        missing = tf.equal(tf.sparse.to_dense(present), 0)
        values = tf.sparse.to_dense(joined)
    else:
        values = columns[0] if len(columns) == 1 else tf.concat(columns, axis=1)
        missing = tf.zeros_like(values, tf.bool)
    values, missing = (tf.reshape(part, [-1, len(columns)]) for part in (values, missing))
    if values.dtype == tf.float32:
        missing = tf.logical_or(missing, tf.logical_not(tf.math.is_finite(values)))
    elif values.dtype == tf.string:
        missing = tf.logical_or(missing, tf.equal(values, ""))
    return values, missing


def _index_in_order(order: Sequence[Any], values, missing) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns each value's index in the order; values that are not in it count as missing."""
    matches = tf.equal(values[:, :, tf.newaxis], tf.constant(order, values.dtype))
    missing = tf.logical_or(missing, tf.logical_not(tf.reduce_any(matches, axis=2)))
    return tf.argmax(tf.cast(matches, tf.int32), axis=2), missing


def _truth(values, missing, true_value: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns 1 where true, else 0, and the missing flags.

    Without a `true_value`, text that is neither true nor false counts as missing.
    """
    if true_value:
        return tf.cast(tf.equal(values, true_value), tf.float32), missing
    if values.dtype != tf.string:
        return tf.cast(tf.not_equal(values, tf.zeros_like(values)), tf.float32), missing
    true = tf.strings.regex_full_match(values, text_values.TRUE)
    false = tf.strings.regex_full_match(values, text_values.FALSE)
    missing = tf.logical_or(missing, tf.logical_not(tf.logical_or(true, false)))
    return tf.cast(true, tf.float32), missing


def _days(dates, missing) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns days since 0000-03-01 and missing flags; values that are not dates are missing.

    For the arithmetic see H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    """
    text = dates if dates.dtype == tf.string else tf.strings.as_string(dates)
    readable = tf.strings.regex_full_match(text, text_values.DATE)
    missing = tf.logical_or(missing, tf.logical_not(readable))
    text = tf.where(missing, "2000-01-01", text)
    year, month, day = (
        tf.strings.to_number(
            tf.strings.regex_replace(text, f"^{text_values.DATE}$", part), tf.int32
        )
        for part in (text_values.DATE_YEAR, text_values.DATE_MONTH, text_values.DATE_DAY)
    )
    year = year - tf.cast(month <= 2, tf.int32)
    months_since_march = tf.math.floormod(month + 9, 12)
    day_of_year = (153 * months_since_march + 2) // 5 + day - 1
    days = 365 * year + year // 4 - year // 100 + year // 400 + day_of_year
    return days, missing
