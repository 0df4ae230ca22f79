"""Heads, which define a label's targets and turn logits into its loss, metrics and outputs.

They are `tf.estimator.Head`s, so premade estimators accept them in place of TensorFlow's own, and a
`model_fn` ends with `head.create_estimator_spec(...)`. Unlike TensorFlow's heads, they predict in
the label's own units and accept the logits of an ensemble: see `Head`.
"""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.distributed import mirrored
from models.estimator_api import EstimatorSpec, ModeKeys, PredictOutput
from models.features import preprocessing
from models.features.label import Label

PREDICTIONS = "predictions"
LOWER = "lower"
UPPER = "upper"
LOGISTIC = "logistic"
PROBABILITIES = "probabilities"
CLASSES = "classes"

Outputs = dict[str, tf.Tensor]

_SCORED = {"regression": PREDICTIONS, "binary": LOGISTIC, "multiclass": PROBABILITIES}


def scored_outputs(label: Label) -> list[str]:
    """Returns the names of the outputs that the Evaluator scores for a label."""
    return [_SCORED[label.task]] + ([LOWER, UPPER] if label.interval else [])


def prefixes(labels: Sequence[Label]) -> list[str]:
    """Returns the prefix of each label's output and metric names, such as `waterfront/`.

    Args:
        labels: the labels of one model; the first one's prefix is empty.
    """
    return [f"{label.name}/" if index else "" for index, label in enumerate(labels)]


class _Spec(estimator_api.Head):
    """Base class that builds the `EstimatorSpec` from a head's loss, predictions and metrics."""

    loss_reduction = tf.losses.Reduction.SUM_OVER_BATCH_SIZE

    def create_estimator_spec(
        self,
        features,
        mode,
        logits,
        labels=None,
        optimizer=None,
        trainable_variables=None,
        train_op_fn=None,
        update_ops=None,
        regularization_losses=None,
    ) -> EstimatorSpec:
        """Returns a `model_fn`'s result. See `tf.estimator.Head.create_estimator_spec`.

        Args:
            features: as passed to the `model_fn`; may include example weights.
            mode: train, eval or infer.
            logits: [batch, logits_dimension], or [batch, members, logits_dimension] for an
                ensemble.
            labels: as passed to the `model_fn`.
            optimizer: a legacy Keras optimizer whose `iterations` is the global step. Training
                requires either this or `train_op_fn`.
            trainable_variables: the variables that `optimizer` trains.
            train_op_fn: takes the loss and returns a training op that also increments the global
                step. With several replicas, each receives its share, and the shares add up to the
                loss.
            update_ops: ops to run with each training step, such as BatchNorm's moving averages.
            regularization_losses: scalars to add to the loss.

        Raises:
            ValueError: in training, if both or neither of `optimizer` and `train_op_fn` are given.
        """
        predictions = self.predictions(logits)
        if mode == ModeKeys.PREDICT:
            return EstimatorSpec(
                mode, predictions=predictions, export_outputs=export_outputs(predictions)
            )
        loss = self.loss(labels, logits, features, mode, regularization_losses)
        if mode == ModeKeys.EVAL:
            metrics = self.update_metrics(self.metrics(), features, logits, labels)
            return EstimatorSpec(mode, predictions=predictions, loss=loss, eval_metric_ops=metrics)
        if (optimizer is None) == (train_op_fn is None):
            raise ValueError("expected an optimizer or a train_op_fn, and not both")
        if mirrored.count() > 1:
            # This replica's share of the whole batch's loss: optimizers sum the gradients over the
            # replicas, and the Estimator sums the losses that it logs.
            loss /= mirrored.count()
        if optimizer is not None:
            train_op = tf.group(*optimizer.get_updates(loss, trainable_variables))
        else:
            train_op = train_op_fn(loss)
        if update_ops:
            train_op = tf.group(train_op, *update_ops)
        return EstimatorSpec(mode, loss=loss, train_op=train_op)


class Head(_Spec):
    """Base class of the heads for one label.

    Logits are [batch, outputs], or [batch, members, outputs] for an ensemble. In training, each
    member has its own loss, as if it were trained alone: members trained on the loss of their mean
    would not stay diverse. Evaluation and prediction use the ensemble's combined logits.
    """

    def __init__(self, label: Label):
        self._label = label

    @property
    def name(self) -> str:
        """The label's column."""
        return self._label.name

    def loss(self, labels, logits, features=None, mode=None, regularization_losses=None):
        """Returns the mean loss, weighted if there are weights, plus the regularization losses.

        Args:
            labels: raw labels [batch].
            logits: see the class.
            features: may contain `weight` [batch].
            mode: in training the result is the mean of the members' losses, otherwise the loss of
                the ensemble.
            regularization_losses: scalars to add.
        """
        if mode != ModeKeys.TRAIN or logits.shape.rank == 2:
            logits = self._ensemble(logits)[:, tf.newaxis, :]
        targets = self.targets(labels)
        losses = tf.reduce_mean(self._losses(targets, logits), axis=1)
        weights = self._weights(targets, features)
        if weights is None:
            loss = tf.reduce_mean(losses)
        else:
            total = tf.reduce_sum(weights)
            if mode == ModeKeys.TRAIN:
                # One replica's rows may weigh more than another's; average over the whole batch.
                total = mirrored.total(total) / mirrored.count()
            loss = tf.math.divide_no_nan(tf.reduce_sum(weights * losses), total)
        return tf.add_n([loss, *(regularization_losses or [])])

    @abc.abstractmethod
    def targets(self, labels) -> tf.Tensor:
        """Returns the training targets [batch]: standardised labels, or class indices."""

    def losses(self, targets, logits) -> tf.Tensor:
        """Returns each example's loss [batch], with class weights; logits are [batch, outputs]."""
        targets = tf.reshape(targets, [-1])  # Keras passes [batch, 1]
        losses = self._losses(targets, logits[:, tf.newaxis, :])[:, 0]
        weights = self._weights(targets, None)
        return losses if weights is None else weights * losses

    def predictions(self, logits, keys: Sequence[str] | None = None) -> Outputs:
        """Returns the outputs by name, each [batch, ...]; only those in `keys`, if given."""
        outputs = self._outputs(self._ensemble(logits))
        return {key: outputs[key] for key in keys} if keys else outputs

    def update_metrics(
        self, eval_metrics, features, logits, labels, mode=None, regularization_losses=None
    ) -> dict[str, Any]:
        """Updates the metrics returned by `metrics()` with a batch, and returns them."""
        predictions = self.predictions(logits)
        weights = (features or {}).get(preprocessing.WEIGHT)
        for name, values in self._metric_values(labels, predictions).items():
            eval_metrics[name].update_state(*values, sample_weight=weights)
        return eval_metrics

    def _weights(self, targets, features) -> tf.Tensor | None:
        return (features or {}).get(preprocessing.WEIGHT)

    def _ensemble(self, logits) -> tf.Tensor:
        """Combines the members' logits into the ensemble's: [batch, outputs]."""
        return logits if logits.shape.rank == 2 else tf.reduce_mean(logits, axis=1)

    @abc.abstractmethod
    def _losses(self, targets, logits) -> tf.Tensor:
        """Returns losses [batch, members]; `logits` are [batch, members, outputs]."""

    @abc.abstractmethod
    def _outputs(self, logits) -> Outputs:
        """Returns the outputs by name, for logits [batch, outputs]."""

    @abc.abstractmethod
    def _metric_values(self, labels, predictions: Mapping[str, tf.Tensor]) -> dict[str, tuple]:
        """Returns the positional arguments of each metric's `update_state`, by metric name."""


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
        numbers = tf.cast(targets, tf.int64)  # Keras passes all targets as float32
        of_class = tf.gather(tf.constant(self._label.class_weights), numbers)
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


class MultiHead(_Spec):
    """Head for several labels: it splits the logits among their heads and adds up the losses.

    Labels are a dict by column. The first label's outputs and metrics keep their plain names; for
    every other label they are prefixed with its column, as in `waterfront/probabilities`.
    """

    def __init__(self, heads: Sequence[Head]):
        self._heads = tuple(heads)

    @property
    def name(self) -> str:
        """The first label's column."""
        return self._heads[0].name

    @property
    def logits_dimension(self) -> int:
        """The total number of logits of all heads."""
        return sum(head.logits_dimension for head in self._heads)

    def _split(self, logits):
        return zip(
            self._heads, tf.split(logits, [head.logits_dimension for head in self._heads], axis=-1)
        )

    def _named(self, head: Head, values: Mapping[str, Any]) -> dict[str, Any]:
        if head is self._heads[0]:
            return dict(values)
        return {f"{head.name}/{key}": value for key, value in values.items()}

    def loss(self, labels, logits, features=None, mode=None, regularization_losses=None):
        """Returns the sum of the heads' losses; regression losses are on a standardised scale."""
        losses = [
            head.loss(labels[head.name], part, features, mode) for head, part in self._split(logits)
        ]
        return tf.add_n([*losses, *(regularization_losses or [])])

    def predictions(self, logits, keys: Sequence[str] | None = None) -> Outputs:
        """Returns the outputs of all heads by name; only those in `keys`, if given."""
        outputs: Outputs = {}
        for head, part in self._split(logits):
            outputs.update(self._named(head, head.predictions(part)))
        return {key: outputs[key] for key in keys} if keys else outputs

    def metrics(self, regularization_losses=None) -> dict[str, Any]:
        """Returns the metrics of all heads by name."""
        metrics: dict[str, Any] = {}
        for head in self._heads:
            metrics.update(self._named(head, head.metrics()))
        return metrics

    def update_metrics(
        self, eval_metrics, features, logits, labels, mode=None, regularization_losses=None
    ) -> dict[str, Any]:
        """Updates the metrics of all heads with a batch, and returns them."""
        for head, part in self._split(logits):
            head_metrics = {name: eval_metrics[key] for name, key in self._named_keys(head).items()}
            head.update_metrics(head_metrics, features, part, labels[head.name])
        return eval_metrics

    def _named_keys(self, head: Head) -> dict[str, str]:
        names = list(head.metrics())
        return dict(zip(names, self._named(head, dict.fromkeys(names))))


def for_label(label: Label) -> Head:
    """Returns the head for a label's task."""
    return RegressionHead(label) if label.task == "regression" else ClassificationHead(label)


def for_labels(labels: Sequence[Label]) -> Head | MultiHead:
    """Returns the head for one label, or a `MultiHead` for several."""
    heads = [for_label(label) for label in labels]
    return heads[0] if len(heads) == 1 else MultiHead(heads)


def export_outputs(predictions: Mapping[str, tf.Tensor]) -> dict[str, PredictOutput]:
    """Returns the serving signatures: `predict`, which is also the default signature."""
    output = PredictOutput(dict(predictions))
    return {"predict": output, "serving_default": output}
