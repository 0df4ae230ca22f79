"""`model_to_estimator` with our heads, so that predictions are in the label's own units."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from models import estimator_api
from models.errors import UserError
from models.estimator_api import EstimatorSpec, ModeKeys
from models.features import packed_tensors
from models.toolbox import heads, networks
from models.toolbox.context import Context


def inputs(context: Context) -> dict[str, tf.keras.Input]:
    """Returns Keras inputs for the packed features by name: categories int64, others float32.

    A ragged list is represented by its mean and length, see `networks.sequences`.
    """
    layout = context.layout
    widths = {
        packed_tensors.SCALED: packed_tensors.SCALED_PER_NUMBER * len(layout.numeric),
        packed_tensors.QUANTILE: len(layout.numeric),
        packed_tensors.INDICATOR: len(layout.indicator),
        packed_tensors.CATEGORICAL: len(layout.categorical),
        **{
            packed_tensors.sequence_name(name): width
            for name, width in zip(layout.sequences, context.sequence_widths)
        },
    }
    return {
        name: tf.keras.Input(
            [width],
            name=name,
            dtype=tf.int64 if name == packed_tensors.CATEGORICAL else tf.float32,
        )
        for name, width in widths.items()
        if width
    }


def loss(context: Context) -> dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    """Returns the heads' losses by output, for `model.compile(loss=...)`.

    Keras' own losses on logits work too: targets are standardised labels, or class indices.
    """
    return {
        _OUTPUT.format(i): heads.for_label(label).losses for i, label in enumerate(context.labels)
    }


def outputs(context: Context, hidden) -> list:
    """Returns Keras outputs for the labels: linear layers on `hidden` [batch, units]."""
    return [
        tf.keras.layers.Dense(heads.for_label(label).logits_dimension, name=_OUTPUT.format(i))(
            hidden
        )
        for i, label in enumerate(context.labels)
    ]


_OUTPUT = "logits_{}"


def estimator(model: tf.keras.Model, params: Mapping[str, Any], config: Any):
    """Converts a compiled functional model to an Estimator.

    Args:
        model: a model built from `inputs` and `outputs`, compiled with `loss` (or Keras losses that
            take logits) and a `tf.keras.optimizers.legacy` optimizer. Its initial weights are kept.
        params: see `models.zoo.registry`.
        config: the `RunConfig`, with a `model_dir`.

    Raises:
        UserError: the training has replicas, with which a training step of `model_to_estimator`
            never ends.
    """
    if config.train_distribute:
        raise UserError(
            "train.cluster.mirrored: found a Keras model, which `model_to_estimator` cannot train "
            "on several devices; choose another kind of model, such as mlp, or remove mirrored"
        )
    converted = estimator_api.model_to_estimator(
        model, config=config, model_dir=config.model_dir, checkpoint_format="saver"
    )
    input_names = [tensor.name for tensor in model.inputs]

    def model_fn(features, labels, mode, params, config):
        names = [label.name for label in params["context"].labels]
        head = heads.for_labels(params["context"].labels)
        dense = {**features, **networks.sequences(features)}
        fed = {name: dense[name] for name in input_names}
        targets = None
        if mode != ModeKeys.PREDICT:
            by_name = labels if isinstance(labels, Mapping) else {names[0]: labels}
            targets = {
                _OUTPUT.format(i): tf.cast(
                    heads.for_label(label).targets(by_name[label.name]), tf.float32
                )[:, tf.newaxis]
                for i, label in enumerate(params["context"].labels)
            }
            if packed_tensors.WEIGHT in features:
                # The structure in which `model_to_estimator` expects weights.
                weights = dict.fromkeys(targets, features[packed_tensors.WEIGHT])
                fed = {"features": fed, "sample_weights": weights}
        spec = converted.model_fn(fed, targets, mode, config)
        logits = tf.concat([spec.predictions[_OUTPUT.format(i)] for i in range(len(names))], axis=1)
        # Keras trains; the head serves and evaluates.
        if mode == ModeKeys.TRAIN:
            # The Estimator looks for a summary op named "loss", but Keras has already used that op
            # name; the trailing slash reuses it.
            summary = tf.raw_ops.ScalarSummary(tags="loss", values=spec.loss, name="loss/")
            tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.SUMMARIES, summary)
            return EstimatorSpec(mode, loss=spec.loss, train_op=spec.train_op)
        served = head.create_estimator_spec(features, mode, logits, labels)
        return served._replace(loss=spec.loss) if mode == ModeKeys.EVAL else served

    return estimator_api.Estimator(
        model_fn,
        params=dict(params),
        config=config,
        # The model's initial weights, saved here by `model_to_estimator`.
        warm_start_from=tf.train.latest_checkpoint(f"{config.model_dir}/keras"),
    )
