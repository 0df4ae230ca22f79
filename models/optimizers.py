"""How the custom models learn: AdamW with a falling learning rate, clipped gradients, averages."""

import math
from collections.abc import Sequence

import tensorflow as tf

from models import mirrored


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
    """The op of one training step, which also counts the global step.

    Decoupled decay: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization" (2019);
    cycles: the same authors, "SGDR: Stochastic Gradient Descent with Warm Restarts" (2017).

    Where there are replicas (see `models.mirrored`), a step is one of their whole batch.

    Args:
        loss: scalar; of one of several replicas the share that it adds to the loss, as a head hands
            it to a `train_op_fn`.
        variables: what learns. Vectors (biases and factors) are not decayed.
        learning_rate: at the start of a cycle; in each it falls to zero along a cosine.
        max_steps: where the last cycle ends.
        cycles: each is twice as long as the one before.
        weight_decay: per step and unit of learning rate.
        clip_norm: gradients are scaled down to this global norm.
        average: the decay of an exponential moving average of the variables (B. Polyak and
            A. Juditsky, 1992); 0 keeps none. See `restore_averages`.
    """
    global_step = tf.compat.v1.train.get_or_create_global_step()
    first_cycle = math.ceil(max_steps / (2**cycles - 1))
    rate = tf.compat.v1.train.cosine_decay_restarts(learning_rate, global_step, first_cycle)
    replicas = mirrored.count()
    whole = mirrored.total(tf.gradients(loss, variables))
    gradients, norm = tf.clip_by_global_norm(whole, clip_norm)
    # The decay waits for the gradients, which are those of the weights before it.
    with tf.control_dependencies(gradients):
        decayed = [v for v in variables if weight_decay and len(v.shape) > 1]
        decay = mirrored.update(
            decayed, lambda v, factor: v.assign_sub(factor * v), rate * weight_decay
        )
    with tf.control_dependencies(decay):
        optimizer = tf.compat.v1.train.AdamOptimizer(rate)
        # It sums over the replicas what they all have alike by now.
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
    """Makes evaluation and export read the averages of `adamw` in place of the variables."""
    names = {_averages(average).average_name(variable): variable for variable in variables}
    averaged = {variable.ref() for variable in variables}
    rest = [v for v in tf.compat.v1.global_variables() if v.ref() not in averaged]
    names.update({variable.op.name: variable for variable in rest})
    return tf.compat.v1.train.Scaffold(saver=tf.compat.v1.train.Saver(names))


def _scaled(gradient, factor: float):
    """A gradient, dense or of rows, times a factor; untouched by one of 1."""
    if factor == 1:
        return gradient
    if isinstance(gradient, tf.IndexedSlices):
        return tf.IndexedSlices(gradient.values * factor, gradient.indices, gradient.dense_shape)
    return gradient * factor


def _averages(decay: float) -> tf.train.ExponentialMovingAverage:
    # With the step the average follows closely at first, when the variables change the most.
    return tf.train.ExponentialMovingAverage(decay, tf.compat.v1.train.get_or_create_global_step())
