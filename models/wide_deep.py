"""The default model: a custom `model_fn` of Keras layers. Copy this file to write your own."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from models import heads, networks
from models.context import Context
from models.estimator_api import EstimatorSpec, ModeKeys
from models.params import parse_params


@dataclasses.dataclass(frozen=True)
class Params:
    """What `model.params` in the configuration may set.

    Attributes:
        members: networks in the ensemble; they share all but their inputs' factors and last layers.
        hidden: units of each hidden layer.
        embedding: width of the embedding of a number or a category.
        dropout: share of hidden units dropped in training, 0 to 1.
        learning_rate: at the start; it falls to zero along a cosine over the run.
        weight_decay: decoupled, per step and unit of learning rate (AdamW).
        clip_norm: gradients are scaled down to this global norm.
    """

    members: int = 8
    hidden: tuple[int, ...] = (192, 96)
    embedding: int = 16
    dropout: float = 0.1
    learning_rate: float = 3e-3
    weight_decay: float = 0.2
    clip_norm: float = 1.0


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
        params: `context` (a `Context`: the label, vocabulary sizes, length of training), and
            the `model.params` of the configuration.
        config: the `RunConfig`; its seed seeds the network.
    """
    context: Context = params["context"]
    settings = parse_params(Params, params)
    head = heads.for_label(context.label)
    network = networks.WideDeep(
        outputs=head.logits,
        vocabulary_sizes=context.vocabulary_sizes,
        members=settings.members,
        hidden=settings.hidden,
        embedding=settings.embedding,
        dropout=settings.dropout,
        seed=config.tf_random_seed,
    )
    member_logits = network(features, training=mode == ModeKeys.TRAIN)
    logits = tf.reduce_mean(member_logits, axis=1)
    predictions = head.predictions(logits)
    if mode == ModeKeys.PREDICT:
        return EstimatorSpec(
            mode, predictions=predictions, export_outputs=heads.export_outputs(predictions)
        )

    if mode == ModeKeys.EVAL:
        return EstimatorSpec(
            mode,
            loss=head.loss(labels, logits),
            eval_metric_ops=head.metrics(labels, predictions),
        )

    # Each member learns by its own loss, as if it were a row of its own: members that learned by
    # the loss of their mean would not stay different.
    loss = head.loss(
        tf.repeat(labels, settings.members), tf.reshape(member_logits, [-1, head.logits])
    )
    global_step = tf.compat.v1.train.get_or_create_global_step()
    learning_rate = tf.compat.v1.train.cosine_decay(
        settings.learning_rate, global_step, context.max_steps
    )
    optimizer = tf.compat.v1.train.AdamOptimizer(learning_rate)
    variables = network.trainable_variables
    gradients, norm = tf.clip_by_global_norm(tf.gradients(loss, variables), settings.clip_norm)
    # Decoupled decay: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019).
    # It waits for the gradients, which are those of the weights before the decay.
    with tf.control_dependencies(gradients):
        decay = [
            variable.assign_sub(learning_rate * settings.weight_decay * variable)
            for variable in variables
            if len(variable.shape) > 1
        ]
    with tf.control_dependencies(decay):
        train_op = optimizer.apply_gradients(zip(gradients, variables), global_step)
    tf.compat.v1.summary.scalar("learning_rate", learning_rate)
    tf.compat.v1.summary.scalar("gradient_norm", norm)
    return EstimatorSpec(mode, loss=loss, train_op=train_op)
