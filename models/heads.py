"""Heads: what logits mean for a label. A head owns the target's scale, loss, metrics and outputs.

They are `tf.estimator.Head`s, so the premade estimators take them as they take TensorFlow's own,
and a `model_fn` ends in `head.create_estimator_spec(...)`. Unlike TensorFlow's, they predict in the
label's own units, and they take the logits of an ensemble: see `Head`.
"""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from models import estimator_api, mirrored, preprocessing
from models.estimator_api import EstimatorSpec, ModeKeys, PredictOutput
from models.label import Label

PREDICTIONS = "predictions"
LOWER = "lower"
UPPER = "upper"
LOGISTIC = "logistic"
PROBABILITIES = "probabilities"
CLASSES = "classes"

Outputs = dict[str, tf.Tensor]

_SCORED = {"regression": PREDICTIONS, "binary": LOGISTIC, "multiclass": PROBABILITIES}


def scored_outputs(label: Label) -> list[str]:
    """Returns the outputs of a label that the Evaluator scores: of a value, or of its classes."""
    return [_SCORED[label.task]] + ([LOWER, UPPER] if label.interval else [])


def prefixes(labels: Sequence[Label]) -> list[str]:
    """Returns what stands before the names of each label's outputs and metrics: `waterfront/`.

    Args:
        labels: of one model; the first one's names have nothing before them.
    """
    return [f"{label.name}/" if index else "" for index, label in enumerate(labels)]


class _Spec(estimator_api.Head):
    """Makes the `EstimatorSpec` of each mode from a head's loss, predictions and metrics."""

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
        """What a `model_fn` returns. See `tf.estimator.Head.create_estimator_spec`.

        Args:
            features: as the `model_fn` got them; example weights are taken from here.
            mode: train, eval or infer.
            logits: [batch, logits_dimension] or, of an ensemble, [batch, members,
                logits_dimension].
            labels: as the `model_fn` got them.
            optimizer: a legacy Keras optimizer whose `iterations` is the global step, with
                `trainable_variables`; or else ...
            trainable_variables: see there.
            train_op_fn: ... makes the op that trains from the loss, and counts the global step. Of
                several replicas each gets its share: the sum over them is the loss.
            update_ops: run with each training step: the moving averages of BatchNorm.
            regularization_losses: scalars to add to the loss.
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
            # The share of the whole batch's loss: optimizers sum the gradients over the replicas,
            # and the Estimator sums the losses that it shows.
            loss /= mirrored.count()
        if optimizer is not None:
            train_op = tf.group(*optimizer.get_updates(loss, trainable_variables))
        else:
            train_op = train_op_fn(loss)
        if update_ops:
            train_op = tf.group(train_op, *update_ops)
        return EstimatorSpec(mode, loss=loss, train_op=train_op)


class Head(_Spec):
    """The head of one label.

    Logits are [batch, outputs], or [batch, members, outputs] of an ensemble. In training each
    member has a loss of its own, as if it were alone: members that learned by the loss of their
    mean would not stay different. Everywhere else it is the ensemble that counts.
    """

    def __init__(self, label: Label):
        self._label = label

    @property
    def name(self) -> str:
        """The label's column."""
        return self._label.name

    def loss(self, labels, logits, features=None, mode=None, regularization_losses=None):
        """The mean loss, weighted if `features` hold weights; plus the regularization.

        Args:
            labels: [batch], raw.
            logits: see the class.
            features: may hold `weight` [batch].
            mode: in training the mean over the members' losses, otherwise the ensemble's loss.
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
                # A replica's rows may weigh more than another's: the mean is of the whole batch.
                total = mirrored.total(total) / mirrored.count()
            loss = tf.math.divide_no_nan(tf.reduce_sum(weights * losses), total)
        return tf.add_n([loss, *(regularization_losses or [])])

    @abc.abstractmethod
    def targets(self, labels) -> tf.Tensor:
        """What the logits approach [batch]: standardised labels, or the numbers of classes."""

    def losses(self, targets, logits) -> tf.Tensor:
        """The loss of each example [batch], class weights included; logits [batch, outputs]."""
        targets = tf.reshape(targets, [-1])  # Keras hands over columns
        losses = self._losses(targets, logits[:, tf.newaxis, :])[:, 0]
        weights = self._weights(targets, None)
        return losses if weights is None else weights * losses

    def predictions(self, logits, keys: Sequence[str] | None = None) -> Outputs:
        """The outputs by name, each [batch, ...]; only `keys` if given."""
        outputs = self._outputs(self._ensemble(logits))
        return {key: outputs[key] for key in keys} if keys else outputs

    def update_metrics(
        self, eval_metrics, features, logits, labels, mode=None, regularization_losses=None
    ) -> dict[str, Any]:
        """Feeds a batch to the metrics of `metrics()`, and returns them."""
        predictions = self.predictions(logits)
        weights = (features or {}).get(preprocessing.WEIGHT)
        for name, values in self._metric_values(labels, predictions).items():
            eval_metrics[name].update_state(*values, sample_weight=weights)
        return eval_metrics

    def _weights(self, targets, features) -> tf.Tensor | None:
        return (features or {}).get(preprocessing.WEIGHT)

    def _ensemble(self, logits) -> tf.Tensor:
        """[batch, outputs] of the ensemble."""
        return logits if logits.shape.rank == 2 else tf.reduce_mean(logits, axis=1)

    @abc.abstractmethod
    def _losses(self, targets, logits) -> tf.Tensor:
        """[batch, members] of targets [batch] and logits [batch, members, outputs]."""

    @abc.abstractmethod
    def _outputs(self, logits) -> Outputs:
        """Outputs of logits [batch, outputs]."""

    @abc.abstractmethod
    def _metric_values(self, labels, predictions: Mapping[str, tf.Tensor]) -> dict[str, tuple]:
        """What `update_state` of each metric gets."""


class RegressionHead(Head):
    """Squared error on the standardised label, on a log scale if the label says so.

    Predictions are in the label's own units, whatever scale was learned on.

    With an interval two more logits are its ends, learned by the pinball loss (R. Koenker and
    G. Bassett, "Regression Quantiles", 1978), and moved apart by the label's calibration: see
    `models.intervals`.
    """

    def __init__(self, label: Label):
        super().__init__(label)
        self._mean = label.log_mean if label.log else label.mean
        self._deviation = label.log_deviation if label.log else label.deviation

    @property
    def logits_dimension(self) -> int:
        """1, or 3 with an interval."""
        return 3 if self._label.interval else 1

    def targets(self, labels) -> tf.Tensor:
        """The labels, or their logarithms, standardised."""
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
        """`predictions` [batch, 1], and `lower` and `upper` if there is an interval."""
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
            # A wild extrapolation must stay a number: e^80 is near the end of float32.
            values = tf.math.expm1(tf.minimum(values, 80.0))
        return values

    def metrics(self, regularization_losses=None) -> dict[str, Any]:
        """RMSE, MAE and RMSLE as the Evaluator defines them, and the interval's coverage."""
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
        # Keras' mean absolute error is a mean over the last axis first, so that needs to be there.
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
    """Cross-entropy over the label's classes; one logit for two classes."""

    @property
    def logits_dimension(self) -> int:
        """1 of two classes, otherwise one for each."""
        return 1 if self._label.task == "binary" else len(self._label.classes)

    def targets(self, labels) -> tf.Tensor:
        """Class numbers of text labels; a class unseen in training counts as the last."""
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
        numbers = tf.cast(targets, tf.int64)  # to Keras all targets are float32
        of_class = tf.gather(tf.constant(self._label.class_weights), numbers)
        return of_class if weights is None else of_class * weights

    def _ensemble(self, logits):
        """Logits of the mean of the members' probabilities."""
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
        """`probabilities` [batch, classes] and the likeliest class as `classes` [batch, 1].

        Of two classes also `logistic` [batch, 1], the probability of the second.
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
        """Accuracy, and AUC of two classes."""
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
    """Several labels at once: their logits side by side, the sum of their losses.

    Labels are a dict by column. The first label's outputs and metrics have their own names, those
    of a further one stand behind its column, as `waterfront/probabilities`.
    """

    def __init__(self, heads: Sequence[Head]):
        self._heads = tuple(heads)

    @property
    def name(self) -> str:
        """The first label's column."""
        return self._heads[0].name

    @property
    def logits_dimension(self) -> int:
        """Of all heads together."""
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
        """The sum of the heads' losses, each of which is on a scale of its own deviation."""
        losses = [
            head.loss(labels[head.name], part, features, mode) for head, part in self._split(logits)
        ]
        return tf.add_n([*losses, *(regularization_losses or [])])

    def predictions(self, logits, keys: Sequence[str] | None = None) -> Outputs:
        """The outputs of all heads."""
        outputs: Outputs = {}
        for head, part in self._split(logits):
            outputs.update(self._named(head, head.predictions(part)))
        return {key: outputs[key] for key in keys} if keys else outputs

    def metrics(self, regularization_losses=None) -> dict[str, Any]:
        """The metrics of all heads."""
        metrics: dict[str, Any] = {}
        for head in self._heads:
            metrics.update(self._named(head, head.metrics()))
        return metrics

    def update_metrics(
        self, eval_metrics, features, logits, labels, mode=None, regularization_losses=None
    ) -> dict[str, Any]:
        """Feeds a batch to the metrics of all heads."""
        for head, part in self._split(logits):
            own = {name: eval_metrics[key] for name, key in self._named_keys(head).items()}
            head.update_metrics(own, features, part, labels[head.name])
        return eval_metrics

    def _named_keys(self, head: Head) -> dict[str, str]:
        names = list(head.metrics())
        return dict(zip(names, self._named(head, dict.fromkeys(names))))


def for_label(label: Label) -> Head:
    """The head for a label's task."""
    return RegressionHead(label) if label.task == "regression" else ClassificationHead(label)


def for_labels(labels: Sequence[Label]) -> Head | MultiHead:
    """The head for one label, or for several at once."""
    heads = [for_label(label) for label in labels]
    return heads[0] if len(heads) == 1 else MultiHead(heads)


def export_outputs(predictions: Mapping[str, tf.Tensor]) -> dict[str, PredictOutput]:
    """The serving signatures: `predict`, and the same as the default one."""
    output = PredictOutput(dict(predictions))
    return {"predict": output, "serving_default": output}
