"""The wide & deep model as a custom `model_fn`, which shows what the premade estimator does.

H.-T. Cheng et al., "Wide & Deep Learning for Recommender Systems" (2016): a linear model that
memorises and a perceptron that generalises, trained jointly, each with its own optimizer.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models.estimator_api import EstimatorSpec, ModeKeys
from models.toolbox import heads, networks
from models.toolbox.context import Context
from models.toolbox.params import Count, Positive, Share, parse_params


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters that `model.params` in the configuration may set.

    Attributes:
        hidden: number of units of each hidden layer of the deep part.
        embedding: width of the embedding of a category in the deep part.
        dropout: share of hidden units dropped in training, from 0 to below 1.
        learning_rate: learning rate of the deep part (Adagrad).
        linear_learning_rate: learning rate of the wide part (FTRL).
    """

    hidden: tuple[Count, ...] = (128, 64)
    embedding: Count = 16
    dropout: Share = 0.0
    learning_rate: Positive = 0.05
    linear_learning_rate: Positive = 0.05


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
    wide = networks.Linear(context.vocabulary_sizes, head.logits_dimension)
    deep = tf.keras.Sequential(
        [
            networks.PlainEncoder(context.vocabulary_sizes, settings.embedding, seed),
            networks.Perceptron(settings.hidden, settings.dropout, seed),
            networks.output_layer(head.logits_dimension, seed),
        ]
    )
    logits = wide(features) + deep(dict(features), training=mode == ModeKeys.TRAIN)

    def train_op(loss: tf.Tensor) -> tf.Operation:
        optimizers = tf.keras.optimizers.legacy
        for_deep = optimizers.Adagrad(settings.learning_rate)
        for_wide = optimizers.Ftrl(settings.linear_learning_rate)
        # Exactly one of the two must increment the global step, or training would never end.
        for_deep.iterations = tf.compat.v1.train.get_or_create_global_step()
        return tf.group(
            *for_deep.get_updates(loss, deep.trainable_variables),
            *for_wide.get_updates(loss, wide.trainable_variables),
        )

    return head.create_estimator_spec(features, mode, logits, labels, train_op_fn=train_op)
