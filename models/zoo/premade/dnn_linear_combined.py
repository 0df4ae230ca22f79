"""`tf.estimator.DNNLinearCombinedEstimator`: the wide & deep model that TensorFlow ships."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.errors import UserError
from models.toolbox import heads
from models.toolbox.params import Count, Positive, Share, parse_params
from models.zoo.premade import columns


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


def estimator(params: Mapping[str, Any], config: Any):
    """Builds the Estimator; see `models.zoo.registry` for the arguments.

    Raises:
        UserError: the training has replicas. TensorFlow's estimator always divides the loss by
            their number, which the head does already.
    """
    if config.train_distribute:
        raise UserError(
            "train.cluster.mirrored: found premade.dnn_linear_combined, which scales its loss "
            "wrongly on several devices; choose another model, such as wide_deep, or remove "
            "mirrored"
        )
    context, settings = params["context"], parse_params(Params, params)
    optimizers = tf.keras.optimizers.legacy

    def premade(training: bool):
        return estimator_api.DNNLinearCombinedEstimator(
            head=heads.for_labels(context.labels),
            linear_feature_columns=[*columns.numbers(context), *columns.categories(context)],
            linear_optimizer=lambda: optimizers.Ftrl(settings.linear_learning_rate),
            dnn_feature_columns=[
                *columns.numbers(context),
                *columns.embedded(context, settings.embedding, config.tf_random_seed),
            ],
            dnn_optimizer=lambda: optimizers.Adagrad(settings.learning_rate),
            dnn_hidden_units=settings.hidden,
            dnn_activation_fn=columns.activation(settings.dropout, config.tf_random_seed, training),
            config=config,
        )

    return columns.fed(premade, params, config)
