"""The flagship model: TabM-mini on piecewise-linear encodings, as a custom `model_fn`."""

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
        members: number of perceptrons in an ensemble; they share everything but their input factors
            and output layers.
        networks: number of independent ensembles, whose members are averaged together. Each costs
            as much as the first.
        hidden: number of units of each hidden layer.
        embedding: width of the embedding of a number or a category.
        dropout: share of hidden units dropped in training, from 0 to below 1. Defaults to 0.1, or
            to 0 from 30,000 training examples on.
        learning_rate: initial learning rate; it falls to zero along a cosine. Defaults to 0.003
            for regression and 0.001 for classification.
        cycles: number of learning-rate cycles, each twice as long as the previous one. On a small
            table that is soon overfitted the best checkpoint is at the end of the first cycle, on
            others at the end of the last. Defaults to 3, or to 1 from 10,000 training examples on.
        weight_decay: decoupled decay per step, multiplied by the learning rate (AdamW).
        clip_norm: gradients with a greater global norm are scaled down to it.
        average: decay of a moving average of the weights, which is then evaluated and exported in
            their stead; 0 for no average.
    """

    members: Count = 8
    networks: Count = 1
    hidden: tuple[Count, ...] = (192, 96)
    embedding: Count = 16
    dropout: Share | None = None
    learning_rate: Positive | None = None
    cycles: Count | None = None
    weight_decay: NotNegative = 0.2
    clip_norm: Positive = 1.0
    average: Share = 0.0


def model_fn(
    features: Mapping[str, tf.Tensor],
    labels: tf.Tensor,
    mode: str,
    params: Mapping[str, Any],
    config: Any,
) -> EstimatorSpec:
    """Builds the graph of one mode.

    Args:
        features: the packed tensors of `models.features.preprocessing`.
        labels: raw labels [batch], or a dict of them by column; None when predicting.
        mode: train, eval or infer.
        params: `context` (a `Context`) and the `model.params` of the configuration.
        config: the `RunConfig`; its seed seeds the network.
    """
    context: Context = params["context"]
    settings = parse_params(Params, params)
    head = heads.for_labels(context.labels)
    ensembles = [
        networks.TabM(
            outputs=head.logits_dimension,
            vocabulary_sizes=context.vocabulary_sizes,
            members=settings.members,
            hidden=settings.hidden,
            embedding=settings.embedding,
            dropout=dropout(settings, context),
            # Keep far from the seeds that users choose, so that no two runs share a network.
            seed=config.tf_random_seed + index * 10_007,
        )
        for index in range(settings.networks)
    ]
    training = mode == ModeKeys.TRAIN
    logits = tf.concat([network(features, training=training) for network in ensembles], axis=1)
    variables = [variable for network in ensembles for variable in network.trainable_variables]
    spec = head.create_estimator_spec(
        features,
        mode,
        logits,
        labels,
        train_op_fn=lambda loss: optimizers.adamw(
            loss,
            variables,
            learning_rate=learning_rate(settings, context),
            max_steps=context.max_steps,
            cycles=cycles(settings, context),
            weight_decay=settings.weight_decay,
            clip_norm=settings.clip_norm,
            average=settings.average,
        ),
    )
    if settings.average and mode != ModeKeys.TRAIN:
        averages = optimizers.restore_averages(settings.average, variables)
        spec = spec._replace(scaffold=averages)
    return spec


def learning_rate(settings: Params, context: Context) -> float:
    """Returns the learning rate that is set, or a default that did well on most tables tried."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    return 3e-3 if context.labels[0].task == "regression" else 1e-3


def dropout(settings: Params, context: Context) -> float:
    """Returns the dropout that is set, or a default that did well on a dozen tables."""
    if settings.dropout is not None:
        return settings.dropout
    return 0.1 if context.rows < 30_000 else 0.0


def cycles(settings: Params, context: Context) -> int:
    """Returns the cycles that are set, or a default that did well on fifteen tables."""
    if settings.cycles is not None:
        return settings.cycles
    return 3 if context.rows < 10_000 else 1


def settled(settings: Params, context: Context) -> Params:
    """Returns the settings with all defaults filled in, as the starting point of a search."""
    return dataclasses.replace(
        settings,
        learning_rate=learning_rate(settings, context),
        cycles=cycles(settings, context),
        dropout=dropout(settings, context),
    )
