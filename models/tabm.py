"""The flagship: TabM-mini on piecewise-linear encodings, as a custom `model_fn`."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models import heads, networks, optimizers
from models.context import Context
from models.estimator_api import EstimatorSpec, ModeKeys
from models.params import Count, NotNegative, Positive, Share, parse_params


@dataclasses.dataclass(frozen=True)
class Params:
    """What `model.params` in the configuration may set.

    Attributes:
        members: perceptrons in an ensemble; they share all but their inputs' factors and last
            layers.
        networks: ensembles that share nothing, side by side. Each costs as much as the first.
        hidden: units of each hidden layer.
        embedding: width of the embedding of a number or a category.
        dropout: share of hidden units dropped in training, 0 to 1. By default 0.1, or none where
            there are many examples.
        learning_rate: at the start; it falls to zero along a cosine. By default 0.003, or 0.001
            where the label is a class.
        cycles: of the learning rate, each from its start, and twice as long as the one before. A
            small table that is soon known by heart has its best checkpoint at the end of the first,
            another at the end of the last. By default 3, or 1 where there are many examples.
        weight_decay: decoupled, per step and unit of learning rate (AdamW).
        clip_norm: gradients are scaled down to this global norm.
        average: decay of a moving average of the weights, which is evaluated and exported in their
            place; 0 for none.
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
        features: the packed tensors of `models.preprocessing`.
        labels: [batch], raw; None when predicting.
        mode: train, eval or infer.
        params: `context` (a `Context`), and the `model.params` of the configuration.
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
            # Far from the seeds that anybody chooses: the next run's must be another network.
            seed=config.tf_random_seed + number * 10_007,
        )
        for number in range(settings.networks)
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
    """The one that is set, or what did well on most tables that were tried: less for classes."""
    if settings.learning_rate is not None:
        return settings.learning_rate
    return 3e-3 if context.labels[0].task == "regression" else 1e-3


def dropout(settings: Params, context: Context) -> float:
    """The one that is set, or what did well on a dozen tables."""
    if settings.dropout is not None:
        return settings.dropout
    return 0.1 if context.rows < 30_000 else 0.0


def cycles(settings: Params, context: Context) -> int:
    """The one that is set, or what did well on fifteen tables."""
    if settings.cycles is not None:
        return settings.cycles
    return 3 if context.rows < 10_000 else 1


def settled(settings: Params, context: Context) -> Params:
    """The settings without what depends on the examples: for a search that begins at them."""
    return dataclasses.replace(
        settings,
        learning_rate=learning_rate(settings, context),
        cycles=cycles(settings, context),
        dropout=dropout(settings, context),
    )
