"""A model whose only weight moves towards the mean label, and which can be made to fail."""

import dataclasses
import os
import pathlib

import tensorflow as tf

from models.estimator_api import EstimatorSpec, ModeKeys, SessionRunHook
from models.toolbox import heads
from models.toolbox.params import parse_params


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters of the model.

    Attributes:
        fails_in: role of the tasks in which the model raises an exception.
        rows_to: folder in which each task records the labels that it trains on.
        ballast_mb: size of an additional variable, which enlarges checkpoints.
    """

    fails_in: str = ""
    rows_to: str = ""
    ballast_mb: int = 0


def model_fn(features, labels, mode, params, config):
    settings = parse_params(Params, params)
    if mode == ModeKeys.TRAIN and config.task_type == settings.fails_in:
        raise RuntimeError(f"no such layer in {config.task_type}\nand more of it")
    weight = tf.compat.v1.get_variable("weight", [], initializer=tf.zeros_initializer())
    if settings.ballast_mb:
        tf.compat.v1.get_variable(
            "ballast", [settings.ballast_mb << 18], initializer=tf.random_normal_initializer(seed=1)
        )
    rows = tf.zeros_like(features["scaled"][:, :1])
    predictions = {heads.PREDICTIONS: rows + weight}
    if mode == ModeKeys.PREDICT:
        return EstimatorSpec(
            mode, predictions=predictions, export_outputs=heads.export_outputs(predictions)
        )
    loss = tf.reduce_mean(tf.square(weight - labels / 1e5))
    optimizer = tf.compat.v1.train.GradientDescentOptimizer(0.001)
    step = tf.compat.v1.train.get_or_create_global_step()
    hooks = []
    if settings.rows_to:
        hooks.append(_WritesRows(pathlib.Path(settings.rows_to), config, labels))
    return EstimatorSpec(
        mode, loss=loss, train_op=optimizer.minimize(loss, step), training_hooks=hooks
    )


class _WritesRows(SessionRunHook):
    def __init__(self, folder, config, labels):
        self._path = folder / f"{config.task_type}-{config.task_id}.{os.getpid()}"
        self._labels = labels

    def before_run(self, run_context):
        return tf.compat.v1.train.SessionRunArgs(self._labels)

    def after_run(self, run_context, run_values):
        with self._path.open("a") as file:
            file.writelines(f"{float(label)!r}\n" for label in run_values.results)
