"""A compiled Keras model: the perceptron of `models.zoo.mlp`, written the Keras way."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models.toolbox import networks
from models.toolbox.context import Context
from models.toolbox.params import Count, Positive, Share, parse_params
from models.zoo.keras import convert


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters that `model.params` in the configuration may set.

    Attributes:
        hidden: number of units of each hidden layer.
        embedding: width of the embedding of a number or a category.
        dropout: share of hidden units dropped in training, from 0 to below 1.
        batch_norm: whether to apply batch normalisation to the hidden layers.
        learning_rate: learning rate of Adam.
    """

    hidden: tuple[Count, ...] = (256, 128)
    embedding: Count = 16
    dropout: Share = 0.1
    batch_norm: bool = False
    learning_rate: Positive = 1e-3


def estimator(params: Mapping[str, Any], config: Any):
    """Builds the Estimator; see `models.zoo.registry` for the arguments."""
    context: Context = params["context"]
    settings = parse_params(Params, params)
    # Keras' own initializers draw from Python's global generator.
    tf.keras.utils.set_random_seed(config.tf_random_seed)
    inputs = convert.inputs(context)
    encoder = networks.Encoder(context.vocabulary_sizes, settings.embedding, config.tf_random_seed)
    hidden = encoder(inputs)
    for index, units in enumerate(settings.hidden):
        hidden = tf.keras.layers.Dense(units)(hidden)
        if settings.batch_norm:
            hidden = tf.keras.layers.BatchNormalization()(hidden)
        hidden = tf.keras.layers.ReLU()(hidden)
        if settings.dropout:
            hidden = networks.Dropout(settings.dropout, config.tf_random_seed + index)(hidden)
    model = tf.keras.Model(list(inputs.values()), convert.outputs(context, hidden))
    model.compile(
        optimizer=tf.keras.optimizers.legacy.Adam(settings.learning_rate),
        loss=convert.loss(context),
    )
    return convert.estimator(model, params, config)
