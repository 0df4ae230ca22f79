"""The one door to `tf.estimator`, so that a TensorFlow without it needs a change here alone."""

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
    """What an Estimator runs its sessions with if its `RunConfig` does not say."""
    rewrite = RewriterConfig(meta_optimizer_iterations=RewriterConfig.ONE)
    return tf.compat.v1.ConfigProto(
        allow_soft_placement=True,
        graph_options=tf.compat.v1.GraphOptions(rewrite_options=rewrite),
    )


def is_evaluator(config) -> bool:
    """Whether an Estimator's `RunConfig` is that of the task of a cluster that trains nothing."""
    return config.task_type == "evaluator"


def is_task(config) -> bool:
    """Whether an Estimator's `RunConfig` is that of one task of a cluster."""
    # The evaluator's, which nobody speaks to, has no addresses.
    return bool(config.cluster_spec) or is_evaluator(config)


def serve_variables(config) -> NoReturn:
    """Is a parameter server until the process is ended.

    As `train_and_evaluate` does it too; but that wants an Estimator, and so the data.
    """
    tf.distribute.Server(
        config.cluster_spec, job_name="ps", task_index=config.task_id, protocol=config.protocol
    ).join()
    raise AssertionError("a server has no end")


@contextlib.contextmanager
def outside_a_cluster() -> Iterator[None]:
    """What is made here has the variables to itself: a `RunConfig` looks for `TF_CONFIG`."""
    kept = os.environ.pop(_TF_CONFIG, None)
    try:
        yield
    finally:
        if kept is not None:
            os.environ[_TF_CONFIG] = kept
