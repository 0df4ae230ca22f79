"""A recurrent `model_fn` that predicts from lists of numbers, such as windows of a time series."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models.errors import UserError
from models.estimator_api import EstimatorSpec, ModeKeys
from models.toolbox import heads, networks, optimizers
from models.toolbox.context import Context
from models.toolbox.params import Count, NotNegative, Positive, Share, parse_params


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters that `model.params` in the configuration may set.

    Attributes:
        units: width of the recurrent state of each list.
        hidden: number of units of each hidden layer on top of the states and the other features.
        embedding: width of the embedding of a number or a category.
        dropout: share of hidden units dropped in training, from 0 to below 1.
        learning_rate: initial learning rate; it falls to zero along a cosine over the run.
        weight_decay: decoupled decay per step, multiplied by the learning rate (AdamW).
    """

    units: Count = 32
    hidden: tuple[Count, ...] = (64,)
    embedding: Count = 8
    dropout: Share = 0.0
    learning_rate: Positive = 5e-3
    weight_decay: NotNegative = 0.01


def model_fn(
    features: Mapping[str, tf.Tensor],
    labels: tf.Tensor,
    mode: str,
    params: Mapping[str, Any],
    config: Any,
) -> EstimatorSpec:
    """Builds the graph of one mode; see `models.zoo.tabm.model_fn` for the arguments.

    Raises:
        UserError: no feature is a list.
    """
    context: Context = params["context"]
    if not context.layout.sequences:
        raise UserError(
            "model.name: sequence reads columns that hold lists of numbers, but no feature is a "
            "list; choose another model"
        )
    settings = parse_params(Params, params)
    head = heads.for_labels(context.labels)
    seed = config.tf_random_seed

    network = tf.keras.Sequential(
        [
            networks.Recurrent(settings.units, context.vocabulary_sizes, settings.embedding, seed),
            networks.Perceptron(settings.hidden, settings.dropout, seed),
            networks.output_layer(head.logits_dimension, seed),
        ]
    )
    logits = network(dict(features), training=mode == ModeKeys.TRAIN)
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
    )
