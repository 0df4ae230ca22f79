"""Head for a label that is a number."""

from typing import Any

import tensorflow as tf

from models.features.label import Label
from models.toolbox.heads.head import Head
from models.toolbox.heads.outputs import LOWER, PREDICTIONS, UPPER


class RegressionHead(Head):
    """Head that learns the standardised label by squared error, on a log scale if `label.log`.

    Predictions are in the label's own units, whatever the training scale.

    If the label has an interval, two more logits predict its ends. They are trained by the pinball
    loss (R. Koenker and G. Bassett, "Regression Quantiles", 1978) and moved apart by the label's
    calibration: see `models.toolbox.intervals`.
    """

    def __init__(self, label: Label):
        super().__init__(label)
        self._mean = label.log_mean if label.log else label.mean
        self._deviation = label.log_deviation if label.log else label.deviation

    @property
    def logits_dimension(self) -> int:
        """The number of logits: 1, or 3 with an interval."""
        return 3 if self._label.interval else 1

    def targets(self, labels) -> tf.Tensor:
        """Returns the standardised labels, or the standardised log(1 + label)."""
        values = tf.math.log1p(tf.maximum(labels, 0.0)) if self._label.log else labels
        return (values - self._mean) / self._deviation

    def _losses(self, targets, logits):
        targets = targets[:, tf.newaxis]
        losses = tf.math.squared_difference(targets, logits[:, :, 0])
        if self._label.interval:
            outside = (1 - self._label.interval) / 2
            for output, quantile in ((1, outside), (2, 1 - outside)):
                error = targets - logits[:, :, output]
                losses += tf.maximum(quantile * error, (quantile - 1) * error)
        return losses

    def _outputs(self, logits):
        """Returns `predictions` [batch, 1]; with an interval also `lower` and `upper`."""
        outputs = {PREDICTIONS: self._values(logits[:, :1])}
        if self._label.interval:
            low, middle, high = (logits[:, i : i + 1] for i in (1, 0, 2))
            by = self._label.calibration
            outputs[LOWER] = self._values(tf.minimum(low - by, middle))
            outputs[UPPER] = self._values(tf.maximum(high + by, middle))
        return outputs

    def _values(self, targets) -> tf.Tensor:
        values = targets * self._deviation + self._mean
        if self._label.log:
            # Keep wild extrapolations finite: e^80 is close to float32's limit.
            values = tf.math.expm1(tf.minimum(values, 80.0))
        return values

    def metrics(self, regularization_losses=None) -> dict[str, Any]:
        """Returns RMSE, MAE, RMSLE (log scale only) and the coverage (with an interval only)."""
        metrics = {
            "rmse": tf.keras.metrics.RootMeanSquaredError(name="rmse"),
            "mae": tf.keras.metrics.MeanAbsoluteError(name="mae"),
        }
        if self._label.log:
            metrics["rmsle"] = tf.keras.metrics.RootMeanSquaredError(name="rmsle")
        if self._label.interval:
            metrics["coverage"] = tf.keras.metrics.Mean(name="coverage")
        return metrics

    def _metric_values(self, labels, predictions):
        # Keras' mean absolute error first averages over the last axis, so labels need that axis.
        values, labels = predictions[PREDICTIONS], labels[:, tf.newaxis]
        results: dict[str, tuple] = {"rmse": (labels, values), "mae": (labels, values)}
        if self._label.log:
            results["rmsle"] = tuple(
                tf.math.log1p(tf.maximum(side, 0.0)) for side in (labels, values)
            )
        if self._label.interval:
            within = (predictions[LOWER] <= labels) & (labels <= predictions[UPPER])
            results["coverage"] = (tf.cast(within, tf.float32),)
        return results
