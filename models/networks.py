"""Keras networks over the packed features. A network gives logits and knows nothing of labels."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from models import preprocessing


class PiecewiseLinear(tf.keras.layers.Layer):
    """Piecewise-linear encoding of numbers (Gorishniy et al. 2022, section 3.2).

    A number in bin t of T becomes T values: 1 for every bin below it, 0 for every bin above it, and
    its place within its own. Transform hands it over as its quantile position q in [0, 1], in which
    all bins have the width 1/T; so value t is q·T − t, clipped to [0, 1].

    Shape: [batch, n] → [batch, n, bins].
    """

    def __init__(self, bins: int, **kwargs):
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, inputs):
        steps = tf.range(self.bins, dtype=inputs.dtype)
        return tf.clip_by_value(inputs[:, :, tf.newaxis] * self.bins - steps, 0.0, 1.0)


class NumberEmbedding(tf.keras.layers.Layer):
    """A vector for each number: a small ReLU layer of the column's own on its encoding.

    It keeps the next layer small. It is "LR" (linear, ReLU) in Gorishniy et al. 2022, section 3.

    Shape: [batch, n, bins] → [batch, n · width].
    """

    def __init__(self, width: int, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.seed = seed

    def build(self, input_shape):
        _, columns, bins = input_shape
        self.kernel = self.add_weight(
            "kernel", [columns, bins, self.width], initializer=_uniform(bins, self.seed)
        )
        self.bias = self.add_weight("bias", [columns * self.width], initializer="zeros")

    def call(self, inputs):
        vectors = tf.einsum("bnt,ntw->bnw", inputs, self.kernel)
        return tf.nn.relu(tf.reshape(vectors, [-1, self.bias.shape[0]]) + self.bias)


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


class Members(tf.keras.layers.Layer):
    """Makes one input into that of each member: entry by entry times the member's own factors.

    The factors begin as random signs: they are what makes the members differ.

    Shape: [batch, width] → [batch, members, width].
    """

    def __init__(self, members: int, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.members = members
        self.seed = seed

    def build(self, input_shape):
        # A vector, as biases are, because weight decay passes over those.
        self.factors = self.add_weight(
            "factors", [self.members * input_shape[-1]], initializer=self._signs
        )

    def _signs(self, shape, dtype=None):
        return tf.sign(tf.random.stateless_uniform(shape, [self.seed, 0], -1.0, 1.0))

    def call(self, inputs):
        return inputs[:, tf.newaxis, :] * tf.reshape(self.factors, [self.members, -1])


class MemberHeads(tf.keras.layers.Layer):
    """A linear layer of each member's own.

    Shape: [batch, members, width] → [batch, members, outputs].
    """

    def __init__(self, outputs: int, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.outputs = outputs
        self.seed = seed

    def build(self, input_shape):
        _, members, width = input_shape
        self.kernel = self.add_weight(
            "kernel", [members, width, self.outputs], initializer=_uniform(width, self.seed)
        )
        self.bias = self.add_weight("bias", [members * self.outputs], initializer="zeros")

    def call(self, inputs):
        bias = tf.reshape(self.bias, [-1, self.outputs])
        return tf.einsum("bmw,mwo->bmo", inputs, self.kernel) + bias


class WideDeep(tf.keras.layers.Layer):
    """A linear model of the encoded features plus an ensemble of perceptrons on their embeddings.

    The wide part is what H.-T. Cheng et al., "Wide & Deep Learning for Recommender Systems" (2016)
    call it; it is added to the deep part's logits, so the deep part learns what lines miss.

    The deep part is the TabM-mini of Y. Gorishniy et al., "TabM: Advancing Tabular Deep Learning
    with Parameter-Efficient Ensembling" (2025): members that share one multilayer perceptron and
    differ by the factors of their inputs and by their output layers. Each learns by its own loss;
    the mean of their logits is the prediction, which overfits far less than one network's.

    Args:
        outputs: number of logits.
        vocabulary_sizes: rows of each categorical column.
        members: perceptrons in the ensemble.
        hidden: units of each hidden layer.
        embedding: width of the embedding of a number or a category.
        dropout: share of hidden units dropped in training.

    Shape: packed features → [batch, members, outputs].
    """

    def __init__(
        self,
        outputs: int,
        vocabulary_sizes: Sequence[int],
        members: int,
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
        self.embed_numbers = NumberEmbedding(embedding, next(seeds))
        small = tf.keras.initializers.RandomNormal(stddev=0.1, seed=next(seeds))
        self.embed = PackedEmbedding(vocabulary_sizes, embedding, small)
        self.embed_wide = PackedEmbedding(vocabulary_sizes, outputs, "zeros")
        self.wide = tf.keras.layers.Dense(outputs, kernel_initializer="zeros")
        self.members = Members(members, next(seeds))
        self.hidden = [
            tf.keras.layers.Dense(units, activation="relu", kernel_initializer=glorot())
            for units in hidden
        ]
        self.dropout = [tf.keras.layers.Dropout(dropout, seed=next(seeds)) for _ in hidden]
        self.heads = MemberHeads(outputs, next(seeds))
        self.outputs = outputs

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False):
        inputs = [
            features[name]
            for name in (preprocessing.SCALED, preprocessing.INDICATOR)
            if name in features
        ]
        wide_inputs = list(inputs)
        if preprocessing.QUANTILE in features:
            encoded = self.encode(features[preprocessing.QUANTILE])
            inputs.append(self.embed_numbers(encoded))
            wide_inputs.append(tf.reshape(encoded, [-1, encoded.shape[1] * encoded.shape[2]]))
        wide = [self.wide(tf.concat(wide_inputs, axis=1))] if wide_inputs else []
        categorical = features.get(preprocessing.CATEGORICAL)
        if categorical is not None:
            inputs.append(self.embed(categorical))
            weights = tf.reshape(
                self.embed_wide(categorical), [-1, len(self.embed.sizes), self.outputs]
            )
            wide.append(tf.reduce_sum(weights, axis=1))
        deep = self.members(tf.concat(inputs, axis=1))
        for dense, dropout in zip(self.hidden, self.dropout):
            deep = dropout(dense(deep), training=training)
        return tf.add_n(wide)[:, tf.newaxis, :] + self.heads(deep)


def _uniform(fan_in: int, seed: int) -> tf.keras.initializers.Initializer:
    """Uniform within ±1/√fan_in: Keras' own would count a stack of matrices as one of them."""
    return tf.keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5, seed=seed)
