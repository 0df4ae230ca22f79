"""Scaling of numbers by the moments and quantiles that Transform computes on the train split."""

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform import analyzers

from models.features.packed_tensors import QUANTILES
from models.features.raw_columns import NAN, or_zero

CLIP = 4.0
"""Absolute value to which standardised list elements are clipped, to limit outliers."""

_INFINITY = np.float64("inf")


def scale(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns standardised values [batch, 2 n] and quantile positions [batch, n].

    Missing numbers become 0 and position 0.5. Values are clipped to the range of the train split,
    so that an outlier in a request does not explode the network. Each is returned twice: as it is,
    where a few extreme values of a skewed column dwarf all others, and as its inverse hyperbolic
    sine, which is linear in the middle and logarithmic in the tails.

    The position rises linearly by 1 / `QUANTILES` in each bin between neighbouring quantiles, so
    that the network can rebuild the piecewise-linear encoding of Gorishniy et al., "On Embeddings
    for Numerical Features in Tabular Deep Learning" (2022), section 3.2, from this one number: see
    `networks.PiecewiseLinear`. Where quantiles coincide, the position jumps.

    Args:
        numbers: float64 [batch, n], NaN where missing. All columns are analyzed at once: one
            analyzer over n columns costs a fraction of n analyzers.
    """
    missing = tf.math.is_nan(numbers)
    # In double precision the moments do not depend on how Beam forms its batches. Moments and
    # quantiles ignore NaN; the extremes would not.
    # (Reshaped because tft returns a scalar for a single column.)
    columns = [numbers.shape[1]]
    mean = tf.reshape(tft.mean(numbers, reduce_instance_dims=False), columns)
    deviation = tf.sqrt(tf.reshape(tft.var(numbers, reduce_instance_dims=False), columns))
    low = -tft.max(tf.where(missing, -_INFINITY, -numbers), reduce_instance_dims=False)
    high = tft.max(tf.where(missing, -_INFINITY, numbers), reduce_instance_dims=False)
    # A column without any value in the train split has low = +inf and high = -inf.
    never_seen = low > high
    missing = tf.logical_or(missing, never_seen)
    low, high = (tf.where(never_seen, tf.zeros_like(edge), edge) for edge in (low, high))
    filled = tf.where(missing, tf.zeros_like(numbers) + or_zero(mean), numbers)
    bounded = tf.minimum(tf.maximum(filled, low), high)
    standardised = (bounded - mean) / tf.where(deviation > 0, deviation, 1.0)
    standardised = tf.where(missing, tf.zeros_like(standardised), standardised)
    scaled = tf.concat([standardised, tf.asinh(standardised)], axis=1)
    position = _position(filled, low, _inner_quantiles(numbers), high)
    return tf.cast(scaled, tf.float32), tf.where(missing, 0.5, tf.cast(position, tf.float32))


def _position(values: tf.Tensor, low: tf.Tensor, inner: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Returns each value's position among the quantiles of its column: [batch, n], 0 to 1.

    Args:
        values: float64 [batch, n].
        low: minimum of each column [n].
        inner: quantiles of each column without its extremes [n, QUANTILES - 1].
        high: maximum of each column [n].
    """
    low, high = low[:, tf.newaxis], high[:, tf.newaxis]
    # In single precision a quantile may lie beyond the extremes.
    inner = tf.minimum(tf.maximum(tf.cast(inner, tf.float64), low), high)
    edges = tf.concat([low, inner, high], axis=1)
    values = tf.transpose(values)
    bins = tf.clip_by_value(tf.searchsorted(edges, values) - 1, 0, QUANTILES - 1)
    start, end = (tf.gather(edges, bins + step, batch_dims=1) for step in (0, 1))
    width, passed = end - start, values - start
    within = tf.where(
        width > 0,
        tf.clip_by_value(passed / tf.where(width > 0, width, 1.0), 0.0, 1.0),
        tf.cast(passed > 0, tf.float64),
    )
    return tf.transpose((tf.cast(bins, tf.float64) + within) / QUANTILES)


def _inner_quantiles(numbers: tf.Tensor) -> tf.Tensor:
    """Returns `tft.quantiles`, or zeros for an empty column: float32 [n, QUANTILES - 1]."""
    columns = numbers.shape[1]
    (inner,) = analyzers._apply_cacheable_combiner(_Quantiles(columns), numbers)
    return inner


class _Quantiles(analyzers.QuantilesCombiner):
    """Combiner of `tft.quantiles`, which by itself drops columns without a value and then fails.

    An accumulator holds a sketch of all columns and a mask of those with a value.
    """

    def __init__(self, columns: int):
        super().__init__(QUANTILES, 0.1 / QUANTILES, np.float32, feature_shape=[columns])
        self._columns = columns

    def create_accumulator(self):
        return super().create_accumulator(), np.zeros(self._columns, bool)

    def add_input(self, accumulator, next_input):
        sketch, known = accumulator
        return super().add_input(sketch, next_input), known | ~np.isnan(next_input[0]).all(axis=0)

    def merge_accumulators(self, accumulators):
        sketches, known = zip(*accumulators)
        return super().merge_accumulators(sketches), np.logical_or.reduce(known)

    def compact(self, accumulator):
        sketch, known = accumulator
        return super().compact(sketch), known

    def extract_output(self, accumulator):
        sketch, known = accumulator
        quantiles = np.zeros([self._columns, QUANTILES - 1], np.float32)
        if known.any():
            boundaries = np.array(sketch.GetQuantiles(QUANTILES).to_pylist(), np.float32)
            quantiles[known] = boundaries[:, 1:-1]
        return [quantiles]


def scale_lists(column) -> tf.Tensor | tf.RaggedTensor:
    """Standardises lists over all their elements; a missing element becomes 0, the mean.

    Shape: dense [batch, n] → float32 [batch, n]; sparse or ragged → ragged float32 [batch, any].
    """
    if isinstance(column, tf.SparseTensor):
        column = tf.RaggedTensor.from_value_rowids(
            column.values, column.indices[:, 0], column.dense_shape[0], validate=False
        )
    if isinstance(column, tf.RaggedTensor):
        return column.with_values(_standardised(column.values))
    return tf.reshape(_standardised(tf.reshape(column, [-1])), tf.shape(column))


def _standardised(values: tf.Tensor) -> tf.Tensor:
    """Standardises and clips values: [n] → float32 [n]; values that are not finite become 0."""
    values = tf.cast(values, tf.float64)
    finite = tf.math.is_finite(values)
    # The moments ignore NaN; without any element the mean is NaN, so it is replaced by 0.
    values = tf.where(finite, values, NAN * tf.ones_like(values))
    mean, deviation = or_zero(tft.mean(values)), tf.sqrt(tft.var(values))
    standardised = (values - mean) / tf.where(deviation > 0, deviation, 1.0)
    clipped = tf.cast(tf.clip_by_value(standardised, -CLIP, CLIP), tf.float32)
    return tf.where(finite, clipped, tf.zeros_like(clipped))
