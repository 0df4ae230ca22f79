"""Head for a label that is a class."""

from typing import Any

import tensorflow as tf

from models.toolbox.heads.head import Head
from models.toolbox.heads.outputs import CLASSES, LOGISTIC, PROBABILITIES


class ClassificationHead(Head):
    """Head that learns the label's classes by cross-entropy; two classes share one logit."""

    @property
    def logits_dimension(self) -> int:
        """The number of logits: 1 for two classes, otherwise one per class."""
        return 1 if self._label.task == "binary" else len(self._label.classes)

    def targets(self, labels) -> tf.Tensor:
        """Returns the class indices of text labels; a class unseen in training maps to the last."""
        classes = self._label.classes
        table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(classes), tf.range(len(classes), dtype=tf.int64)
            ),
            default_value=len(classes) - 1,
        )
        return table.lookup(labels)

    def _weights(self, targets, features):
        weights = super()._weights(targets, features)
        if not self._label.class_weights:
            return weights
        indices = tf.cast(targets, tf.int64)  # Keras passes all targets as float32
        of_class = tf.gather(tf.constant(self._label.class_weights), indices)
        return of_class if weights is None else of_class * weights

    def _ensemble(self, logits):
        """Returns the logits of the members' mean probabilities."""
        if logits.shape.rank == 2:
            return logits
        if self.logits_dimension == 1:
            yes, no = (
                tf.reduce_logsumexp(tf.math.log_sigmoid(sign * logits), axis=1) for sign in (1, -1)
            )
            return yes - no
        return tf.reduce_logsumexp(tf.nn.log_softmax(logits), axis=1)

    def _losses(self, targets, logits):
        targets = tf.repeat(targets[:, tf.newaxis], logits.shape[1], axis=1)
        if self.logits_dimension == 1:
            return tf.nn.sigmoid_cross_entropy_with_logits(
                tf.cast(targets, tf.float32), logits[:, :, 0]
            )
        return tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(targets, tf.int64), logits)

    def _outputs(self, logits):
        """Returns `probabilities` [batch, classes] and `classes` [batch, 1], the likeliest class.

        With two classes, also `logistic` [batch, 1], the probability of the second.
        """
        if self.logits_dimension == 1:
            positive = tf.sigmoid(logits)
            probabilities = tf.concat([1.0 - positive, positive], axis=1)
            outputs = {LOGISTIC: positive, PROBABILITIES: probabilities}
        else:
            probabilities = tf.nn.softmax(logits)
            outputs = {PROBABILITIES: probabilities}
        likeliest = tf.argmax(probabilities, axis=1)
        classes = tf.gather(tf.constant(self._label.classes), likeliest)[:, tf.newaxis]
        return {**outputs, CLASSES: classes}

    def metrics(self, regularization_losses=None) -> dict[str, Any]:
        """Returns the accuracy and, with two classes, the AUC."""
        metrics: dict[str, Any] = {"accuracy": tf.keras.metrics.Mean(name="accuracy")}
        if self.logits_dimension == 1:
            metrics["auc"] = tf.keras.metrics.AUC(num_thresholds=1000, name="auc")
        return metrics

    def _metric_values(self, labels, predictions):
        hits = tf.cast(tf.equal(labels, predictions[CLASSES][:, 0]), tf.float32)
        results: dict[str, tuple] = {"accuracy": (hits,)}
        if self.logits_dimension == 1:
            results["auc"] = (self.targets(labels), predictions[LOGISTIC][:, 0])
        return results
