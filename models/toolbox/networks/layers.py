"""Layers above an encoder: the perceptron, its dropout, and the logits."""

from collections.abc import Sequence

import tensorflow as tf

from models.distributed import mirrored
from models.toolbox.networks.seeds import layer_seeds


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
        seeds = layer_seeds(seed)
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


def output_layer(outputs: int, seed: int) -> tf.keras.layers.Dense:
    """Returns the linear layer that computes the logits: [batch, width] → [batch, outputs]."""
    return tf.keras.layers.Dense(
        outputs, kernel_initializer=tf.keras.initializers.GlorotUniform(seed=seed), name="logits"
    )
