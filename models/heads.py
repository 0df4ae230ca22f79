"""Heads: what logits mean for a task. A head owns the target's scale, loss, metrics and outputs."""

from collections.abc import Mapping

import tensorflow as tf

from models.estimator_api import PredictOutput
from models.label import Label

PREDICTIONS = "predictions"
LOGISTIC = "logistic"
PROBABILITIES = "probabilities"
CLASSES = "classes"


class RegressionHead:
    """Squared error on the standardised label, on a log scale if the label says so.

    Predictions are in the label's own units, whatever scale was learned on.
    """

    logits = 1

    def __init__(self, label: Label):
        self._log = label.log
        self._mean = label.log_mean if label.log else label.mean
        self._deviation = label.log_deviation if label.log else label.deviation

    def loss(self, labels, logits) -> tf.Tensor:
        """Mean squared error of the target; labels [batch] → scalar."""
        targets = tf.math.log1p(tf.maximum(labels, 0.0)) if self._log else labels
        targets = (targets - self._mean) / self._deviation
        return tf.reduce_mean(tf.math.squared_difference(targets, logits[:, 0]))

    def predictions(self, logits) -> dict[str, tf.Tensor]:
        """`predictions` [batch, 1], in the label's units."""
        values = logits * self._deviation + self._mean
        if self._log:
            # A wild extrapolation must stay a number: e^80 is near the end of float32.
            values = tf.math.expm1(tf.minimum(values, 80.0))
        return {PREDICTIONS: values}

    def metrics(self, labels, predictions: Mapping[str, tf.Tensor]) -> dict:
        """For the eval split's summaries: RMSE, MAE and RMSLE, as the Evaluator defines them."""
        values = predictions[PREDICTIONS][:, 0]
        metrics = tf.compat.v1.metrics
        result = {
            "rmse": metrics.root_mean_squared_error(labels, values),
            "mae": metrics.mean_absolute_error(labels, values),
        }
        if self._log:
            result["rmsle"] = metrics.root_mean_squared_error(
                tf.math.log1p(tf.maximum(labels, 0.0)), tf.math.log1p(tf.maximum(values, 0.0))
            )
        return result


class ClassificationHead:
    """Cross-entropy over the label's classes; one logit for two classes."""

    def __init__(self, label: Label):
        self._classes = label.classes
        self.logits = 1 if label.task == "binary" else len(label.classes)

    def _indices(self, labels) -> tf.Tensor:
        """Class numbers of text labels [batch]; a class unseen in training counts as the last."""
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(self._classes), tf.range(len(self._classes), dtype=tf.int64)
            ),
            default_value=len(self._classes) - 1,
        )
        return table.lookup(labels)

    def loss(self, labels, logits) -> tf.Tensor:
        """Mean cross-entropy; labels text [batch] → scalar."""
        indices = self._indices(labels)
        if self.logits == 1:
            losses = tf.nn.sigmoid_cross_entropy_with_logits(
                tf.cast(indices, tf.float32), logits[:, 0]
            )
        else:
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(indices, logits)
        return tf.reduce_mean(losses)

    def predictions(self, logits) -> dict[str, tf.Tensor]:
        """`probabilities` [batch, classes] and the likeliest class as `classes` [batch, 1].

        Of two classes also `logistic` [batch, 1], the probability of the second.
        """
        if self.logits == 1:
            positive = tf.sigmoid(logits)
            probabilities = tf.concat([1.0 - positive, positive], axis=1)
            outputs = {LOGISTIC: positive, PROBABILITIES: probabilities}
        else:
            probabilities = tf.nn.softmax(logits)
            outputs = {PROBABILITIES: probabilities}
        likeliest = tf.argmax(probabilities, axis=1)
        classes = tf.gather(tf.constant(self._classes), likeliest)[:, tf.newaxis]
        return {**outputs, CLASSES: classes}

    def metrics(self, labels, predictions: Mapping[str, tf.Tensor]) -> dict:
        """For the eval split's summaries: accuracy, and AUC of two classes."""
        metrics = tf.compat.v1.metrics
        result = {"accuracy": metrics.accuracy(labels, predictions[CLASSES][:, 0])}
        if self.logits == 1:
            result["auc"] = metrics.auc(
                self._indices(labels),
                predictions[LOGISTIC][:, 0],
                num_thresholds=1000,
                summation_method="careful_interpolation",
            )
        return result


Head = RegressionHead | ClassificationHead


def for_label(label: Label) -> Head:
    """The head for a label's task."""
    return RegressionHead(label) if label.task == "regression" else ClassificationHead(label)


def export_outputs(predictions: Mapping[str, tf.Tensor]) -> dict[str, PredictOutput]:
    """The serving signatures: `predict`, and the same as the default one."""
    output = PredictOutput(dict(predictions))
    return {"predict": output, "serving_default": output}
