"""How the custom models learn: AdamW with a falling learning rate, clipped gradients, averages."""

import math
from collections.abc import Sequence

import tensorflow as tf


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

    Args:
        loss: scalar.
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
    gradients, norm = tf.clip_by_global_norm(tf.gradients(loss, variables), clip_norm)
    # The decay waits for the gradients, which are those of the weights before it.
    with tf.control_dependencies(gradients):
        decay = [
            variable.assign_sub(rate * weight_decay * variable)
            for variable in variables
            if weight_decay and len(variable.shape) > 1
        ]
    with tf.control_dependencies(decay):
        optimizer = tf.compat.v1.train.AdamOptimizer(rate)
        step = optimizer.apply_gradients(zip(gradients, variables), global_step)
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


def _averages(decay: float) -> tf.train.ExponentialMovingAverage:
    # With the step the average follows closely at first, when the variables change the most.
    return tf.train.ExponentialMovingAverage(decay, tf.compat.v1.train.get_or_create_global_step())
