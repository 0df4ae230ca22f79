"""Optimizer of the custom models: AdamW with cosine decay, clipping and weight averaging."""

import math
from collections.abc import Sequence

import tensorflow as tf

from models.distributed import mirrored


def adamw(
    loss: tf.Tensor,
    variables: Sequence[tf.Variable],
    *,
    learning_rate: float,
    max_steps: int,
    cycles: int = 1,
    weight_decay: float = 0.0,
    clip_norm: float = 1.0,
    average: float = 0.0,
) -> tf.Operation:
    """Returns the op of one training step, which also increments the global step.

    Decoupled decay: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019);
    cycles: the same authors, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017).

    With several replicas (see `models.distributed.mirrored`), a step trains on their whole batch.

    Args:
        loss: scalar; with several replicas, this replica's share of the loss, as a head passes it
            to `train_op_fn`.
        variables: the variables to train. Vectors (biases and factors) are not decayed.
        learning_rate: rate at the start of each cycle; it falls to zero along a cosine.
        max_steps: the step at which the last cycle ends.
        cycles: number of cycles; each is twice as long as the previous one.
        weight_decay: decay per step, multiplied by the learning rate.
        clip_norm: gradients with a greater global norm are scaled down to it.
        average: decay of an exponential moving average of the variables (B. Polyak and
            A. Juditsky, 1992); 0 for no average. See `restore_averages`.
    """
    global_step = tf.compat.v1.train.get_or_create_global_step()
    first_cycle = math.ceil(max_steps / (2**cycles - 1))
    rate = tf.compat.v1.train.cosine_decay_restarts(learning_rate, global_step, first_cycle)
    replicas = mirrored.count()
    whole = mirrored.total(tf.gradients(loss, variables))
    gradients, norm = tf.clip_by_global_norm(whole, clip_norm)
    # Decay only after the gradients are computed, since they belong to the undecayed weights.
    with tf.control_dependencies(gradients):
        decayed = [v for v in variables if weight_decay and len(v.shape) > 1]
        decay = mirrored.update(
            decayed, lambda v, factor: v.assign_sub(factor * v), rate * weight_decay
        )
    with tf.control_dependencies(decay):
        optimizer = tf.compat.v1.train.AdamOptimizer(rate)
        # The optimizer sums over replicas, which all hold the same gradients by now.
        shares = [_scaled(gradient, 1 / replicas) for gradient in gradients]
        step = optimizer.apply_gradients(zip(shares, variables), global_step)
    tf.compat.v1.summary.scalar("learning_rate", rate)
    tf.compat.v1.summary.scalar("gradient_norm", norm)
    if not average:
        return step
    with tf.control_dependencies([step]):
        return _averages(average).apply(variables)


def restore_averages(
    average: float, variables: Sequence[tf.Variable]
) -> tf.compat.v1.train.Scaffold:
    """Returns a scaffold that restores the averages kept by `adamw` into the variables."""
    names = {_averages(average).average_name(variable): variable for variable in variables}
    averaged = {variable.ref() for variable in variables}
    rest = [v for v in tf.compat.v1.global_variables() if v.ref() not in averaged]
    names.update({variable.op.name: variable for variable in rest})
    return tf.compat.v1.train.Scaffold(saver=tf.compat.v1.train.Saver(names))


def _scaled(gradient, factor: float):
    """Multiplies a dense or sparse gradient by a factor; returns it unchanged if that is 1."""
    if factor == 1:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * factor, gradient.indices, gradient.dense_shape)
    return gradient * factor


def _averages(decay: float) -> tf.train.ExponentialMovingAverage:
    # Given the step, the average follows closely at first, when the variables change most.
    return tf.train.ExponentialMovingAverage(decay, tf.compat.v1.train.get_or_create_global_step())
