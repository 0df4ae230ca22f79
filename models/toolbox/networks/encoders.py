"""Encoders of an example as one vector, and the linear model of its features."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from models.features import packed_tensors
from models.toolbox.networks.embeddings import NumberEmbedding, PackedEmbedding, PiecewiseLinear
from models.toolbox.networks.seeds import layer_seeds

_PLAIN = (packed_tensors.SCALED, packed_tensors.INDICATOR)

RAGGED_WIDTH = 2
"""Number of values that summarise a ragged list in a vector."""


def sequences(features: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Returns the list features as dense tensors by name.

    Lists of fixed length n are unchanged: [batch, n]. Ragged lists become their mean and
    log(1 + length): [batch, RAGGED_WIDTH].
    """
    dense = {}
    for name, values in sorted(features.items()):
        if isinstance(values, tf.RaggedTensor):
            count = tf.cast(values.row_lengths(), tf.float32)
            mean = tf.math.divide_no_nan(tf.reduce_sum(values, axis=1), count)
            dense[name] = tf.stack([mean, tf.math.log1p(count)], axis=1)
        elif name.startswith(packed_tensors.sequence_name("")):
            dense[name] = values
    return dense


def plain(features: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
    """Returns all features except categories, each [batch, ...]; numbers are also encoded."""
    inputs = [features[name] for name in _PLAIN if name in features]
    if packed_tensors.QUANTILE in features:
        encoded = PiecewiseLinear(packed_tensors.QUANTILES)(features[packed_tensors.QUANTILE])
        inputs.append(tf.reshape(encoded, [-1, encoded.shape[1] * encoded.shape[2]]))
    return [*inputs, *sequences(features).values()]


class Encoder(tf.keras.layers.Layer):
    """Encoder of an example as one vector: numbers (scaled and embedded), flags, categories, lists.

    Args:
        vocabulary_sizes: number of embedding rows of each categorical column.
        embedding: width of the embedding of a number or a category.
        seed: seed of the initial weights.

    Shape: packed features → [batch, width].
    """

    def __init__(self, vocabulary_sizes: Sequence[int], embedding: int, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.settings = {
            "vocabulary_sizes": tuple(vocabulary_sizes),
            "embedding": embedding,
            "seed": seed,
        }
        self.encode = PiecewiseLinear(packed_tensors.QUANTILES)
        self.embed_numbers = NumberEmbedding(embedding, seed)
        normal = tf.keras.initializers.RandomNormal(stddev=0.5, seed=seed + 1)
        self.embed = PackedEmbedding(vocabulary_sizes, embedding, normal)

    def get_config(self):  # `model_to_estimator` clones a model from its layers' configs
        return {**super().get_config(), **self.settings}

    def call(self, features: Mapping[str, tf.Tensor]):
        inputs = [features[name] for name in _PLAIN if name in features]
        if packed_tensors.QUANTILE in features:
            inputs.append(self.embed_numbers(self.encode(features[packed_tensors.QUANTILE])))
        if packed_tensors.CATEGORICAL in features:
            inputs.append(self.embed(features[packed_tensors.CATEGORICAL]))
        return tf.concat([*inputs, *sequences(features).values()], axis=1)


class PlainEncoder(tf.keras.layers.Layer):
    """Encoder of an example as one vector: `plain` features and an embedding of each category.

    Shape: packed features → [batch, width].
    """

    def __init__(self, vocabulary_sizes: Sequence[int], embedding: int, seed: int, **kwargs):
        super().__init__(**kwargs)
        # The default of tf.feature_column.embedding_column.
        normal = tf.keras.initializers.TruncatedNormal(stddev=embedding**-0.5, seed=seed)
        self.embed = PackedEmbedding(vocabulary_sizes, embedding, normal)

    def call(self, features: Mapping[str, tf.Tensor]):
        inputs = plain(features)
        if packed_tensors.CATEGORICAL in features:
            inputs.append(self.embed(features[packed_tensors.CATEGORICAL]))
        return tf.concat(inputs, axis=1)


class Recurrent(tf.keras.layers.Layer):
    """Encoder that appends the last state of a GRU for each list to the output of `Encoder`.

    K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder" (2014).

    Args:
        units: width of each state.
        vocabulary_sizes, embedding, seed: see `Encoder`.

    Shape: packed features → [batch, lists · units + width of the encoder].
    """

    def __init__(
        self, units: int, vocabulary_sizes: Sequence[int], embedding: int, seed: int, **kwargs
    ):
        super().__init__(**kwargs)
        self.units = units
        self.seeds = layer_seeds(seed)
        self.encoder = Encoder(vocabulary_sizes, embedding, next(self.seeds))

    def build(self, input_shape):
        self.cells = {
            name: tf.keras.layers.GRU(
                self.units,
                kernel_initializer=tf.keras.initializers.GlorotUniform(seed=next(self.seeds)),
                recurrent_initializer=tf.keras.initializers.Orthogonal(seed=next(self.seeds)),
                # Unrolling is faster, but requires a fixed number of steps.
                unroll=isinstance(input_shape[name], tf.TensorShape)
                and input_shape[name][1] is not None,
            )
            for name in sorted(input_shape)
            if name.startswith(packed_tensors.sequence_name(""))
        }

    def call(self, features: Mapping[str, tf.Tensor]):
        states = [self.encoder(features)]
        for name, cell in self.cells.items():
            values, mask = features[name], None
            if isinstance(values, tf.RaggedTensor):
                # Pad by one step, since a batch may contain only empty lists.
                lengths = values.row_lengths()
                values = tf.pad(values.to_tensor(), [[0, 0], [0, 1]])
                mask = tf.sequence_mask(lengths, tf.shape(values)[1])
            states.append(cell(values[:, :, tf.newaxis], mask=mask))
        return tf.concat(states, axis=1)


class Linear(tf.keras.layers.Layer):
    """Linear model of the features, which is piecewise linear in the numbers.

    All weights are initialised to zero.

    Shape: packed features → [batch, outputs].
    """

    def __init__(self, vocabulary_sizes: Sequence[int], outputs: int, **kwargs):
        super().__init__(**kwargs)
        self.outputs = outputs
        self.dense = tf.keras.layers.Dense(outputs, kernel_initializer="zeros")
        self.embed = PackedEmbedding(vocabulary_sizes, outputs, "zeros")

    def call(self, features: Mapping[str, tf.Tensor]):
        inputs = plain(features)
        terms = [self.dense(tf.concat(inputs, axis=1))] if inputs else []
        if packed_tensors.CATEGORICAL in features:
            weights = tf.reshape(
                self.embed(features[packed_tensors.CATEGORICAL]),
                [-1, len(self.embed.sizes), self.outputs],
            )
            terms.append(tf.reduce_sum(weights, axis=1))
        return tf.add_n(terms)
