"""Seeds and initializers of layers."""

from collections.abc import Iterator

import tensorflow as tf


def layer_seeds(seed: int) -> Iterator[int]:
    """Returns distinct seeds for the layers of one network, far from those of the next seed."""
    start = 1000 * seed % (2**31 - 1000)  # stateless random ops take 32-bit seeds
    return iter(range(start, start + 1000))


def uniform(fan_in: int, seed: int) -> tf.keras.initializers.Initializer:
    """Returns a uniform initializer in ±1/√fan_in; Keras misjudges the fan-in of 3-D kernels."""
    return tf.keras.initializers.RandomUniform(-(fan_in**-0.5), fan_in**-0.5, seed=seed)
