"""Features that are numbers: read from columns, derived from others, or indicators of them."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from models.features import expressions, packed_tensors, raw_columns
from models.features import features as features_lib
from models.features.features import Feature
from models.features.raw_columns import NAN, Block, arranged, or_zero

_DAYS_PER_YEAR = 365.2425


class NumberFeatures:
    """Numeric, ordinal, boolean, date and derived features: float64, NaN where missing."""

    def __init__(self, features: Sequence[Feature], inputs: Mapping[str, Any]):
        """Reads the columns.

        Args:
            features: features of any kind; categories and sequences are ignored.
            inputs: raw columns by name.
        """
        columns = [
            column
            for column in features_lib.columns_read(features)
            if column.kind not in (features_lib.CATEGORICAL, features_lib.SEQUENCE)
        ]
        self._blocks = {
            kind: [
                Block([column.name for column in group], raw_columns.read_numbers(group, inputs))
                for group in raw_columns.alike(
                    [column for column in columns if column.kind == kind], inputs
                )
            ]
            for kind in dict.fromkeys(column.kind for column in columns)
        }
        self._known: dict[str, tf.Tensor] = {}
        derived = [feature for feature in features if feature.kind == features_lib.DERIVED]
        if derived:
            values = tf.stack([self._column(feature) for feature in derived], axis=1)
            self._blocks[features_lib.DERIVED] = [Block([f.name for f in derived], values)]

    def matrix(self, features: Sequence[Feature]) -> tf.Tensor:
        """Returns these features side by side: [batch, n]."""
        return arranged(self._all(), [feature.name for feature in features])

    def indicators(self) -> list[Block]:
        """Returns blocks with every possible indicator: float32 [batch, k], by column and part."""
        blocks = [
            Block(
                [(name, packed_tensors.MISSING) for name in block.keys],
                tf.cast(_is_nan(block), tf.float32),
            )
            for block in self._all()
        ]
        for block in self._blocks.get(features_lib.BOOLEAN, ()):
            truth = tf.cast(or_zero(block.tensor), tf.float32)
            blocks.append(Block([(name, packed_tensors.TRUE) for name in block.keys], truth))
        for block in self._blocks.get(features_lib.DATE, ()):
            for part, cycle in zip(packed_tensors.DATE_PARTS, _cycles(or_zero(block.tensor))):
                wave = tf.where(_is_nan(block), 0.0, cycle)
                blocks.append(Block([(name, part) for name in block.keys], wave))
        return blocks

    def _all(self) -> list[Block]:
        return [block for blocks in self._blocks.values() for block in blocks]

    def _column(self, feature: Feature) -> tf.Tensor:
        """Returns one feature: [batch]."""
        if feature.name not in self._known:
            if feature.kind == features_lib.DERIVED:
                operands = {used.name: self._column(used) for used in feature.operands}
                self._known[feature.name] = _evaluate(feature.expression, operands)
            else:
                block = next(block for block in self._all() if feature.name in block.keys)
                index = block.keys.index(feature.name)
                self._known[feature.name] = block.tensor[:, index]
        return self._known[feature.name]


def _is_nan(block: Block) -> tf.Tensor:
    return tf.math.is_nan(block.tensor)


def _evaluate(expression: str, operands: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Evaluates an expression: float64 [batch], NaN where an operand or any step is undefined."""
    some = next(iter(operands.values()))
    return expressions.parse(expression).evaluate(
        operands.__getitem__, lambda value: tf.fill(tf.shape(some), np.float64(value)), _step
    )


_STEPS: dict[str, Callable] = {
    "+": tf.add,
    "-": tf.subtract,
    "*": tf.multiply,
    "/": tf.divide,
    "**": tf.pow,
    "negative": tf.negative,
    "log1p": tf.math.log1p,
    "sqrt": tf.sqrt,
    "abs": tf.abs,
    "min": lambda *values: functools.reduce(tf.minimum, values),
    "max": lambda *values: functools.reduce(tf.maximum, values),
}


def _step(name: str, arguments: list[tf.Tensor]) -> tf.Tensor:
    # In IEEE arithmetic 1 ** NaN = 1 and 1 / (1 / 0) = 0, but missing values must stay missing.
    present = functools.reduce(
        tf.logical_and, [tf.logical_not(tf.math.is_nan(value)) for value in arguments]
    )
    result = _STEPS[name](*arguments)
    present = tf.logical_and(present, tf.math.is_finite(result))
    return tf.where(present, result, NAN * tf.ones_like(result))


def _cycles(days) -> list[tf.Tensor]:
    """Returns the `packed_tensors.DATE_PARTS`: the position in the year and in the week.

    Args:
        days: float64 [batch, k]; in single precision, vectorised sines differ in the last bit from
            those of the batch's remainder.
    """
    angles = [
        2 * math.pi * tf.math.floormod(days, period) / period for period in (_DAYS_PER_YEAR, 7.0)
    ]
    return [tf.cast(wave(angle), tf.float32) for angle in angles for wave in (tf.sin, tf.cos)]
