"""Feature columns through which premade estimators read the packed features."""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.estimator_api import ModeKeys
from models.features import packed_tensors
from models.toolbox import networks
from models.toolbox.context import Context

_NUMBERS = "numbers"
_CATEGORY = "category_{}"

_columns = tf.feature_column


def numbers(context: Context) -> list:
    """Returns one column with all features except categories (see `networks.plain`), if any."""
    width = _plain_width(context)
    return [_columns.numeric_column(_NUMBERS, shape=[width])] if width else []


def categories(context: Context) -> list:
    """Returns a column for each categorical feature."""
    return [
        _columns.categorical_column_with_identity(_CATEGORY.format(i), size, default_value=size - 1)
        for i, size in enumerate(context.vocabulary_sizes)
    ]


def embedded(context: Context, width: int, seed: int) -> list:
    """Returns an embedding column for each categorical feature."""
    normal = tf.keras.initializers.TruncatedNormal(stddev=width**-0.5, seed=seed)
    return [
        _columns.embedding_column(column, width, initializer=normal)
        for column in categories(context)
    ]


def activation(dropout: float, seed: int, training: bool) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns ReLU, followed by dropout in training, as the premade networks' `activation_fn`.

    Their own `dropout` option repeats its random draws in a resumed run: see `networks.Dropout`.
    """
    seeds = itertools.count(1000 * seed)

    def activate(inputs):
        units = tf.nn.relu(inputs)
        if dropout and training:
            units = networks.Dropout(dropout, next(seeds))(units, training=True)
        return units

    return activate


def fed(premade: Callable[[bool], Any], params: Mapping[str, Any], config: Any):
    """Returns an Estimator that unpacks the features for the columns of a premade estimator.

    Args:
        premade: builds the premade estimator; the argument says whether it is for training.
        params: see `models.zoo.registry`.
        config: the `RunConfig`.
    """

    def model_fn(features, labels, mode, params, config):
        # The premade networks' initializers draw from Python's global generator.
        tf.keras.utils.set_random_seed(config.tf_random_seed)
        unpacked = {
            _CATEGORY.format(i): column
            for i, column in enumerate(
                tf.unstack(features[packed_tensors.CATEGORICAL], axis=1)
                if packed_tensors.CATEGORICAL in features
                else []
            )
        }
        if plain := networks.plain(features):
            unpacked[_NUMBERS] = tf.concat(plain, axis=1)
        if packed_tensors.WEIGHT in features:
            unpacked[packed_tensors.WEIGHT] = features[packed_tensors.WEIGHT]
        return premade(mode == ModeKeys.TRAIN).model_fn(unpacked, labels, mode, config)

    return estimator_api.Estimator(model_fn, params=dict(params), config=config)


def _plain_width(context: Context) -> int:
    layout = context.layout
    per_number = packed_tensors.SCALED_PER_NUMBER + packed_tensors.QUANTILES
    return len(layout.numeric) * per_number + len(layout.indicator) + sum(context.sequence_widths)
