"""A model whose only weight counts steps, so that its best step and its losses are known."""

import dataclasses

import tensorflow as tf

from models.estimator_api import EstimatorSpec, ModeKeys
from models.toolbox import heads
from models.toolbox.params import parse_params


@dataclasses.dataclass(frozen=True)
class Params:
    best_step: int = 30
    loss_is_number: bool = True


def model_fn(features, labels, mode, params, config):
    settings = parse_params(Params, params)
    steps = tf.compat.v1.get_variable("steps", [], initializer=tf.zeros_initializer())
    rows = tf.zeros_like(features["scaled"][:, :1])
    predictions = {heads.PREDICTIONS: rows + steps}
    if mode == ModeKeys.PREDICT:
        return EstimatorSpec(
            mode, predictions=predictions, export_outputs=heads.export_outputs(predictions)
        )
    loss = tf.square(steps - settings.best_step) + 0.0 * tf.reduce_sum(rows)
    if not settings.loss_is_number and mode == ModeKeys.EVAL:
        loss *= float("nan")
    global_step = tf.compat.v1.train.get_or_create_global_step()
    train_op = tf.group(steps.assign_add(1.0), global_step.assign_add(1))
    return EstimatorSpec(mode, loss=loss, train_op=train_op, eval_metric_ops={})
