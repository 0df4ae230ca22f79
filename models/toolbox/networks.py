"""Keras layers over the packed features. They compute logits and know nothing about labels."""

from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from models.distributed import mirrored
from models.features import preprocessing


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
            "kernel", [columns, bins, self.width], initializer=_uniform(bins, self.seed)
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


class Members(tf.keras.layers.Layer):
    """Layer that multiplies the input elementwise by each member's own trainable factors.

    The factors are initialised to random signs, which make the members differ.

    Shape: [batch, width] → [batch, members, width].
    """

    def __init__(self, members: int, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.members = members
        self.seed = seed

    def build(self, input_shape):
        # A vector, as a bias is: weight decay skips vectors.
        self.factors = self.add_weight(
            "factors", [self.members * input_shape[-1]], initializer=self._signs
        )

    def _signs(self, shape, dtype=None):
        return tf.sign(tf.random.stateless_uniform(shape, [self.seed, 0], -1.0, 1.0))

    def call(self, inputs):
        return inputs[:, tf.newaxis, :] * tf.reshape(self.factors, [self.members, -1])


class MemberHeads(tf.keras.layers.Layer):
    """Separate linear output layer for each ensemble member.

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


class Dropout(tf.keras.layers.Layer):
    """Dropout whose random draws depend only on the seed, the global step and the replica.

    Keras' own layer draws from a generator whose state no checkpoint holds, so a resumed run would
    draw differently from an uninterrupted one.

    Shape: any; the output has the shape of the input.
    """

    def __init__(self, rate: float, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}

    def call(self, inputs, training=None):
        def dropped():
            step = tf.compat.v1.train.get_global_step()
            step = tf.constant(0, tf.int64) if step is None else step
            # Each replica drops different units.
            seed = [
                tf.constant(self.seed, tf.int64),
                step * mirrored.count() + mirrored.replica_id(),
            ]
            return tf.nn.experimental.stateless_dropout(inputs, self.rate, tf.stack(seed))

        return tf.keras.backend.in_train_phase(dropped, inputs, training)


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
        self.encode = PiecewiseLinear(preprocessing.QUANTILES)
        self.embed_numbers = NumberEmbedding(embedding, seed)
        normal = tf.keras.initializers.RandomNormal(stddev=0.5, seed=seed + 1)
        self.embed = PackedEmbedding(vocabulary_sizes, embedding, normal)

    def get_config(self):  # `model_to_estimator` clones a model from its layers' configs
        return {**super().get_config(), **self.settings}

    def call(self, features: Mapping[str, tf.Tensor]):
        inputs = [features[name] for name in _PLAIN if name in features]
        if preprocessing.QUANTILE in features:
            inputs.append(self.embed_numbers(self.encode(features[preprocessing.QUANTILE])))
        if preprocessing.CATEGORICAL in features:
            inputs.append(self.embed(features[preprocessing.CATEGORICAL]))
        return tf.concat([*inputs, *sequences(features).values()], axis=1)


_PLAIN = (preprocessing.SCALED, preprocessing.INDICATOR)

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
        elif name.startswith(preprocessing.sequence_name("")):
            dense[name] = values
    return dense


def plain(features: Mapping[str, tf.Tensor]) -> list[tf.Tensor]:
    """Returns all features except categories, each [batch, ...]; numbers are also encoded."""
    inputs = [features[name] for name in _PLAIN if name in features]
    if preprocessing.QUANTILE in features:
        encoded = PiecewiseLinear(preprocessing.QUANTILES)(features[preprocessing.QUANTILE])
        inputs.append(tf.reshape(encoded, [-1, encoded.shape[1] * encoded.shape[2]]))
    return [*inputs, *sequences(features).values()]


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
        if preprocessing.CATEGORICAL in features:
            weights = tf.reshape(
                self.embed(features[preprocessing.CATEGORICAL]),
                [-1, len(self.embed.sizes), self.outputs],
            )
            terms.append(tf.reduce_sum(weights, axis=1))
        return tf.add_n(terms)


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
        if preprocessing.CATEGORICAL in features:
            inputs.append(self.embed(features[preprocessing.CATEGORICAL]))
        return tf.concat(inputs, axis=1)


class Perceptron(tf.keras.layers.Layer):
    """Stack of hidden layers: linear, optional batch normalisation, ReLU, dropout.

    Args:
        hidden: number of units of each layer.
        dropout: share of units dropped in training.
        batch_norm: whether to apply batch normalisation.
        seed: seed of the initial weights and the dropout.

    Shape: [..., width] → [..., hidden[-1]].
    """

    def __init__(
        self, hidden: Sequence[int], dropout: float, seed: int, batch_norm: bool = False, **kwargs
    ):
        super().__init__(**kwargs)
        seeds = _seeds(seed)
        self.stages: list[list[tf.keras.layers.Layer]] = []
        for units in hidden:
            glorot = tf.keras.initializers.GlorotUniform(seed=next(seeds))
            stage = [tf.keras.layers.Dense(units, kernel_initializer=glorot)]
            if batch_norm:
                stage.append(tf.keras.layers.BatchNormalization())
            stage.append(tf.keras.layers.ReLU())
            if dropout:
                stage.append(Dropout(dropout, next(seeds)))
            self.stages.append(stage)

    def call(self, inputs, training: bool = False):
        for stage in self.stages:
            for layer in stage:
                inputs = layer(inputs, training=training)
        return inputs


class TabM(tf.keras.layers.Layer):
    """Linear model of the encoded features plus an ensemble of perceptrons on their embeddings.

    The ensemble is the TabM-mini of Y. Gorishniy, A. Kotelnikov and A. Babenko, "TabM: Advancing
    Tabular Deep Learning with Parameter-Efficient Ensembling" (ICLR 2025): members share one
    multilayer perceptron and differ in their input factors and output layers. Each has its own
    loss; their mean prediction overfits far less than a single network's.

    The linear part is added to every member's logits, so the members learn what it misses. It sums
    one term per column and is divided by the square root of the number of columns; unscaled, it
    makes training on wide tables unstable at learning rates that suit the rest.

    Args:
        outputs: number of logits.
        vocabulary_sizes: number of embedding rows of each categorical column.
        members: number of perceptrons in the ensemble.
        hidden: number of units of each hidden layer.
        embedding: width of the embedding of a number or a category.
        dropout: share of hidden units dropped in training.
        seed: seed of the initial weights and the dropout.

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
        super().__init__()
        seeds = _seeds(seed)
        self.encoder = Encoder(vocabulary_sizes, embedding, next(seeds))
        self.linear = Linear(vocabulary_sizes, outputs)
        self.members = Members(members, next(seeds))
        self.perceptron = Perceptron(hidden, dropout, next(seeds))
        self.heads = MemberHeads(outputs, next(seeds))

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False):
        deep = self.perceptron(self.members(self.encoder(features)), training=training)
        encoded = (preprocessing.QUANTILE, preprocessing.CATEGORICAL)
        columns = sum(features[name].shape[1] for name in encoded if name in features)
        linear = self.linear(features) / max(columns, 1) ** 0.5
        return linear[:, tf.newaxis, :] + self.heads(deep)


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
        self.seeds = _seeds(seed)
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
            if name.startswith(preprocessing.sequence_name(""))
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


def output_layer(outputs: int, seed: int) -> tf.keras.layers.Dense:
    """Returns the linear layer that computes the logits: [batch, width] → [batch, outputs]."""
    return tf.keras.layers.Dense(
        outputs, kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seed), name="logits"
    )


def _seeds(seed: int) -> Iterator[int]:
    """Returns distinct seeds for the layers of one network, far from those of the next seed."""
    start = 1000 * seed % (2**31 - 1000)  # stateless random ops take 32-bit seeds
    return iter(range(start, start + 1000))


def _uniform(fan_in: int, seed: int) -> tf.keras.initializers.Initializer:
    """Returns a uniform initializer in ±1/√fan_in; Keras misjudges the fan-in of 3-D kernels."""
    return tf.keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5, seed=seed)
