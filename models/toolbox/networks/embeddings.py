"""Embeddings of numbers and of categories."""

from collections.abc import Sequence

import tensorflow as tf

from models.toolbox.networks.seeds import uniform


class PiecewiseLinear(tf.keras.layers.Layer):
    """Piecewise-linear encoding of numbers (Gorishniy et al. 2022, section 3.2).

    A number in bin t of T becomes T values: 1 for every bin below t, 0 for every bin above t, and
    for bin t itself how far into the bin it lies. Transform provides the number as its quantile
    position q in [0, 1], where all bins have width 1/T, so value t is q·T − t, clipped to [0, 1].

    Shape: [batch, n] → [batch, n, bins].
    """

    def __init__(self, bins: int, **kwargs):
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, inputs):
        steps = tf.range(self.bins, dtype=inputs.dtype)
        return tf.clip_by_value(inputs[:, :, tf.newaxis] * self.bins - steps, 0.0, 1.0)


class NumberEmbedding(tf.keras.layers.Layer):
    """Embedding of each number: a small linear layer with ReLU per column, over its encoding.

    It keeps the next layer small; called "LR" (linear, ReLU) in Gorishniy et al. 2022, section 3.

    Shape: [batch, n, bins] → [batch, n · width].
    """

    def __init__(self, width: int, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.seed = seed

    def build(self, input_shape):
        _, columns, bins = input_shape
        self.kernel = self.add_weight(
            "kernel", [columns, bins, self.width], initializer=uniform(bins, self.seed)
        )
        self.bias = self.add_weight("bias", [columns * self.width], initializer="zeros")

    def call(self, inputs):
        vectors = tf.einsum("bnt,ntw->bnw", inputs, self.kernel)
        return tf.nn.relu(tf.reshape(vectors, [-1, self.bias.shape[0]]) + self.bias)


class PackedEmbedding(tf.keras.layers.Layer):
    """Embedding of all categorical columns in one table, where each column has its own rows.

    Shape: int64 [batch, c] → [batch, c · width].
    """

    def __init__(self, sizes: Sequence[int], width: int, initializer, **kwargs):
        super().__init__(**kwargs)
        self.sizes = tuple(sizes)
        self.width = width
        self.initializer = initializer

    def build(self, input_shape):
        self.table = self.add_weight(
            "table", [sum(self.sizes), self.width], initializer=self.initializer
        )

    def call(self, inputs):
        offsets = [sum(self.sizes[:i]) for i in range(len(self.sizes))]
        # A later Transform may have a vocabulary larger than this table.
        rows = tf.minimum(inputs, tf.constant(self.sizes, tf.int64) - 1)
        rows += tf.constant(offsets, tf.int64)
        return tf.reshape(tf.gather(self.table, rows), [-1, len(self.sizes) * self.width])
