"""`tf.estimator.DNNEstimator`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.toolbox import heads
from models.toolbox.params import Count, Positive, Share, parse_params
from models.zoo.premade import columns


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters that `model.params` in the configuration may set.

    Attributes:
        hidden: number of units of each hidden layer.
        embedding: width of the embedding of a category.
        dropout: share of hidden units dropped in training, from 0 to below 1.
        batch_norm: whether to apply batch normalisation to the hidden layers.
        learning_rate: learning rate of Adagrad.
    """

    hidden: tuple[Count, ...] = (128, 64)
    embedding: Count = 16
    dropout: Share = 0.0
    batch_norm: bool = False
    learning_rate: Positive = 0.05


def estimator(params: Mapping[str, Any], config: Any):
    """Builds the Estimator; see `models.zoo.registry` for the arguments."""
    context, settings = params["context"], parse_params(Params, params)

    def premade(training: bool):
        return estimator_api.DNNEstimator(
            head=heads.for_labels(context.labels),
            hidden_units=settings.hidden,
            feature_columns=[
                *columns.numbers(context),
                *columns.embedded(context, settings.embedding, config.tf_random_seed),
            ],
            optimizer=lambda: tf.keras.optimizers.legacy.Adagrad(settings.learning_rate),
            activation_fn=columns.activation(settings.dropout, config.tf_random_seed, training),
            batch_norm=settings.batch_norm,
            config=config,
        )

    return columns.fed(premade, params, config)
