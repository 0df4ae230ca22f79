"""Ensemble of perceptrons that share most of their weights (TabM)."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from models.features import packed_tensors
from models.toolbox.networks.encoders import Encoder, Linear
from models.toolbox.networks.layers import Perceptron
from models.toolbox.networks.seeds import layer_seeds, uniform


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
            "kernel", [members, width, self.outputs], initializer=uniform(width, self.seed)
        )
        self.bias = self.add_weight("bias", [members * self.outputs], initializer="zeros")

    def call(self, inputs):
        bias = tf.reshape(self.bias, [-1, self.outputs])
        return tf.einsum("bmw,mwo->bmo", inputs, self.kernel) + bias


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
        seeds = layer_seeds(seed)
        self.encoder = Encoder(vocabulary_sizes, embedding, next(seeds))
        self.linear = Linear(vocabulary_sizes, outputs)
        self.members = Members(members, next(seeds))
        self.perceptron = Perceptron(hidden, dropout, next(seeds))
        self.heads = MemberHeads(outputs, next(seeds))

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False):
        deep = self.perceptron(self.members(self.encoder(features)), training=training)
        encoded = (packed_tensors.QUANTILE, packed_tensors.CATEGORICAL)
        columns = sum(features[name].shape[1] for name in encoded if name in features)
        linear = self.linear(features) / max(columns, 1) ** 0.5
        return linear[:, tf.newaxis, :] + self.heads(deep)
