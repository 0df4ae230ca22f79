"""Base classes of the heads: from logits to an `EstimatorSpec`, and the head for one label."""

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.distributed import mirrored
from models.estimator_api import EstimatorSpec, ModeKeys
from models.features import packed_tensors
from models.features.label import Label
from models.toolbox.heads.outputs import Outputs, export_outputs


class SpecBuilder(estimator_api.Head):
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


class Head(SpecBuilder):
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
        weights = (features or {}).get(packed_tensors.WEIGHT)
        for name, values in self._metric_values(labels, predictions).items():
            eval_metrics[name].update_state(*values, sample_weight=weights)
        return eval_metrics

    def _weights(self, targets, features) -> tf.Tensor | None:
        return (features or {}).get(packed_tensors.WEIGHT)

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
