"""A multilayer perceptron as a custom `model_fn`. Copy this file to write your own."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models.estimator_api import EstimatorSpec, ModeKeys
from models.toolbox import heads, networks, optimizers
from models.toolbox.context import Context
from models.toolbox.params import Count, NotNegative, Positive, Share, parse_params


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters that `model.params` in the configuration may set.

    Attributes:
        hidden: number of units of each hidden layer.
        embedding: width of the embedding of a number or a category.
        dropout: share of hidden units dropped in training, from 0 to below 1.
        batch_norm: whether to apply batch normalisation to the hidden layers.
        learning_rate: initial learning rate; it falls to zero along a cosine over the run.
        weight_decay: decoupled decay per step, multiplied by the learning rate (AdamW).
    """

    hidden: tuple[Count, ...] = (256, 128)
    embedding: Count = 16
    dropout: Share = 0.1
    batch_norm: bool = False
    learning_rate: Positive = 2e-3
    weight_decay: NotNegative = 0.1


def model_fn(
    features: Mapping[str, tf.Tensor],
    labels: tf.Tensor,
    mode: str,
    params: Mapping[str, Any],
    config: Any,
) -> EstimatorSpec:
    """Builds the graph of one mode; see `models.zoo.tabm.model_fn` for the arguments."""
    context: Context = params["context"]
    settings = parse_params(Params, params)
    head = heads.for_labels(context.labels)
    seed = config.tf_random_seed
    training = mode == ModeKeys.TRAIN

    network = tf.keras.Sequential(
        [
            networks.Encoder(context.vocabulary_sizes, settings.embedding, seed),
            networks.Perceptron(settings.hidden, settings.dropout, seed, settings.batch_norm),
            networks.output_layer(head.logits_dimension, seed),
        ]
    )
    logits = network(dict(features), training=training)
    return head.create_estimator_spec(
        features,
        mode,
        logits,
        labels,
        train_op_fn=lambda loss: optimizers.adamw(
            loss,
            network.trainable_variables,
            learning_rate=settings.learning_rate,
            max_steps=context.max_steps,
            weight_decay=settings.weight_decay,
        ),
        # BatchNorm's moving averages, which Keras does not add to any collection.
        update_ops=network.updates if training else None,
    )
