"""Keras networks over the packed features. A network gives logits and knows nothing of labels."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from models import preprocessing


class PiecewiseLinear(tf.keras.layers.Layer):
    """Piecewise-linear encoding of numbers (Gorishniy et al. 2022, section 3.2).

    A number in bin t of T becomes T values: 1 for every bin below it, 0 for every bin above it, and
    its place within its own. Transform hands it over as its quantile position q in [0, 1], in which
    all bins have the width 1/T; so value t is q·T − t, clipped to [0, 1].

    Shape: [batch, n] → [batch, n · bins].
    """

    def __init__(self, bins: int, **kwargs):
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, inputs):
        steps = tf.range(self.bins, dtype=inputs.dtype)
        encoded = tf.clip_by_value(inputs[:, :, tf.newaxis] * self.bins - steps, 0.0, 1.0)
        return tf.reshape(encoded, [-1, inputs.shape[1] * self.bins])


class PackedEmbedding(tf.keras.layers.Layer):
    """One table for all categories: every column's indices are shifted into rows of their own.

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
        # A vocabulary of a later Transform may be larger than this table.
        rows = tf.minimum(inputs, tf.constant(self.sizes, tf.int64) - 1)
        rows += tf.constant(offsets, tf.int64)
        return tf.reshape(tf.gather(self.table, rows), [-1, len(self.sizes) * self.width])


class WideDeep(tf.keras.layers.Layer):
    """A linear model of the encoded features plus a multilayer perceptron on them.

    The wide part is what H.-T. Cheng et al., "Wide & Deep Learning for Recommender Systems" (2016)
    call it; it is added to the deep part's logits, so the deep part learns what lines miss.

    Args:
        outputs: number of logits.
        vocabulary_sizes: rows of each categorical column.
        hidden: units of each hidden layer.
        embedding: width of a category's embedding.
        dropout: share of hidden units dropped in training.

    Shape: packed features → [batch, outputs].
    """

    def __init__(
        self,
        outputs: int,
        vocabulary_sizes: Sequence[int],
        hidden: Sequence[int],
        embedding: int,
        dropout: float,
        seed: int,
    ):
        super().__init__(name="wide_deep")
        seeds = iter(range(seed, seed + 1000))

        def glorot():
            return tf.keras.initializers.GlorotUniform(seed=next(seeds))

        self.encode = PiecewiseLinear(preprocessing.QUANTILES)
        self.embed = self.embed_wide = None
        if vocabulary_sizes:
            small = tf.keras.initializers.RandomNormal(stddev=0.1, seed=next(seeds))
            self.embed = PackedEmbedding(vocabulary_sizes, embedding, small)
            self.embed_wide = PackedEmbedding(vocabulary_sizes, outputs, "zeros")
        self.wide = tf.keras.layers.Dense(outputs, kernel_initializer="zeros")
        self.hidden = [
            tf.keras.layers.Dense(units, activation="relu", kernel_initializer=glorot())
            for units in hidden
        ]
        self.dropout = [tf.keras.layers.Dropout(dropout, seed=next(seeds)) for _ in hidden]
        self.head = tf.keras.layers.Dense(outputs, kernel_initializer=glorot())
        self.outputs = outputs

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False):
        inputs = [
            features[name]
            for name in (preprocessing.SCALED, preprocessing.INDICATOR)
            if name in features
        ]
        if preprocessing.QUANTILE in features:
            inputs.append(self.encode(features[preprocessing.QUANTILE]))
        categorical = features.get(preprocessing.CATEGORICAL)
        wide = self.wide(tf.concat(inputs, axis=1)) if inputs else 0.0
        if categorical is not None:
            inputs.append(self.embed(categorical))
            weights = tf.reshape(
                self.embed_wide(categorical), [-1, len(self.embed.sizes), self.outputs]
            )
            wide += tf.reduce_sum(weights, axis=1)
        deep = tf.concat(inputs, axis=1)
        for dense, dropout in zip(self.hidden, self.dropout):
            deep = dropout(dense(deep), training=training)
        return wide + self.head(deep)
