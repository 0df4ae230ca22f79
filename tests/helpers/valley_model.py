"""A model whose loss is known: it falls with every step towards a parameter's distance from 3."""

import dataclasses

import tensorflow as tf

from models.estimator_api import EstimatorSpec, ModeKeys
from models.toolbox.params import parse_params


@dataclasses.dataclass(frozen=True)
class Params:
    position: float = 1.0
    hidden: tuple[int, ...] = (8, 4)
    layers: int = 2
    fails: str = ""


def model_fn(features, labels, mode, params, config):
    settings = parse_params(Params, params)
    if settings.fails == "raises":
        raise RuntimeError(f"no such position as {settings.position}\nsecond line")
    steps = tf.compat.v1.get_variable("steps", [], initializer=tf.zeros_initializer())
    loss = abs(settings.position - 3.0) + 1.0 / (1.0 + steps)
    if settings.fails == "nan" and mode == ModeKeys.EVAL:
        loss *= float("nan")
    loss += 0.0 * tf.reduce_sum(features["scaled"])
    step = tf.compat.v1.train.get_or_create_global_step()
    return EstimatorSpec(
        mode,
        loss=loss,
        train_op=tf.group(steps.assign_add(1.0), step.assign_add(1)),
        eval_metric_ops={"accuracy": tf.compat.v1.metrics.mean(1.0 - loss)},
    )
