"""`tf.estimator.LinearEstimator`: linear or logistic regression, depending on the label's task."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.toolbox import heads
from models.toolbox.params import NotNegative, Positive, parse_params
from models.zoo.premade import columns


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters that `model.params` in the configuration may set.

    Attributes:
        learning_rate: learning rate of FTRL.
        l1, l2: FTRL's regularization strengths.
    """

    learning_rate: Positive = 0.05
    l1: NotNegative = 0.0
    l2: NotNegative = 0.0


def estimator(params: Mapping[str, Any], config: Any):
    """Builds the Estimator; see `models.zoo.registry` for the arguments."""
    context, settings = params["context"], parse_params(Params, params)
    premade = estimator_api.LinearEstimator(
        head=heads.for_labels(context.labels),
        feature_columns=[*columns.numbers(context), *columns.categories(context)],
        optimizer=lambda: tf.keras.optimizers.legacy.Ftrl(
            settings.learning_rate,
            l1_regularization_strength=settings.l1,
            l2_regularization_strength=settings.l2,
        ),
        config=config,
    )
    return columns.fed(lambda training: premade, params, config)
