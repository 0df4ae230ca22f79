"""The one door to `tf.estimator`, so that a TensorFlow without it needs a change here alone."""

import tensorflow as tf

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
