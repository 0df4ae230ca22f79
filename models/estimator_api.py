"""The only module that uses `tf.estimator`: for a TensorFlow without it, change this one alone."""

import contextlib
import os
from collections.abc import Iterator
from typing import NoReturn

import tensorflow as tf
from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig

CheckpointSaverListener = tf.estimator.CheckpointSaverListener
Estimator = tf.estimator.Estimator
EstimatorSpec = tf.estimator.EstimatorSpec
EvalSpec = tf.estimator.EvalSpec
Exporter = tf.estimator.Exporter
Head = tf.estimator.Head
ModeKeys = tf.estimator.ModeKeys
PredictOutput = tf.estimator.export.PredictOutput
RunConfig = tf.estimator.RunConfig
ServingInputReceiver = tf.estimator.export.ServingInputReceiver
SessionRunHook = tf.estimator.SessionRunHook
TrainSpec = tf.estimator.TrainSpec
stop_if_no_decrease_hook = tf.estimator.experimental.stop_if_no_decrease_hook
train_and_evaluate = tf.estimator.train_and_evaluate

DNNEstimator = tf.estimator.DNNEstimator
DNNLinearCombinedEstimator = tf.estimator.DNNLinearCombinedEstimator
LinearEstimator = tf.estimator.LinearEstimator
model_to_estimator = tf.keras.estimator.model_to_estimator

_TF_CONFIG = "TF_CONFIG"


def session_config() -> tf.compat.v1.ConfigProto:
    """Returns the session config that an Estimator uses if its `RunConfig` has none."""
    rewrite = RewriterConfig(meta_optimizer_iterations=RewriterConfig.ONE)
    return tf.compat.v1.ConfigProto(
        allow_soft_placement=True,
        graph_options=tf.compat.v1.GraphOptions(rewrite_options=rewrite),
    )


def is_evaluator(config) -> bool:
    """Returns whether an Estimator's `RunConfig` belongs to the evaluator of a cluster."""
    return config.task_type == "evaluator"


def is_task(config) -> bool:
    """Returns whether an Estimator's `RunConfig` belongs to a task of a cluster."""
    # The evaluator's has no addresses, since no other task connects to it.
    return bool(config.cluster_spec) or is_evaluator(config)


def trainer_index(config) -> int:
    """Returns a task's index among those that train: the chief is 0, worker 0 is 1, and so on.

    `RunConfig.global_id_in_cluster` is not the same: it also counts the evaluator if that has an
    address, as it does in the `TF_CONFIG` of Kubeflow's training operator.
    """
    return 0 if config.is_chief else config.task_id + 1


def serve_variables(config) -> NoReturn:
    """Runs a parameter server until the process is killed.

    `train_and_evaluate` does so too, but requires an Estimator and thereby the data.
    """
    tf.distribute.Server(
        config.cluster_spec, job_name="ps", task_index=config.task_id, protocol=config.protocol
    ).join()
    raise AssertionError("a server has no end")


@contextlib.contextmanager
def outside_a_cluster() -> Iterator[None]:
    """Context manager: a `RunConfig` made inside it ignores `TF_CONFIG`, so it has no cluster."""
    kept = os.environ.pop(_TF_CONFIG, None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ[_TF_CONFIG] = kept
