"""`model_to_estimator`, with our heads: what it serves is in the label's own units."""

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from models import estimator_api, heads, networks, preprocessing
from models.context import Context
from models.estimator_api import EstimatorSpec, ModeKeys


def inputs(context: Context) -> dict[str, tf.keras.Input]:
    """Keras inputs for the packed features, by name: numbers and flags float32, categories int64.

    Of a ragged list Keras gets mean and length, see `networks.sequences`.
    """
    layout = context.layout
    widths = {
        preprocessing.SCALED: preprocessing.SCALED_PER_NUMBER * len(layout.numeric),
        preprocessing.QUANTILE: len(layout.numeric),
        preprocessing.INDICATOR: len(layout.indicator),
        preprocessing.CATEGORICAL: len(layout.categorical),
        **{
            preprocessing.sequence_name(name): width
            for name, width in zip(layout.sequences, context.sequence_widths)
        },
    }
    return {
        name: tf.keras.Input(
            [width],
            name=name,
            dtype=tf.int64 if name == preprocessing.CATEGORICAL else tf.float32,
        )
        for name, width in widths.items()
        if width
    }


def loss(context: Context) -> dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]:
    """The heads' losses by output, for `model.compile(loss=...)`; of targets and logits.

    Keras' own do as well: targets are standardised labels, or the numbers of classes.
    """
    return {
        _OUTPUT.format(i): heads.for_label(label).losses for i, label in enumerate(context.labels)
    }


def outputs(context: Context, hidden) -> list:
    """Keras outputs for the labels: linear layers on a hidden one [batch, units]."""
    return [
        tf.keras.layers.Dense(heads.for_label(label).logits_dimension, name=_OUTPUT.format(i))(
            hidden
        )
        for i, label in enumerate(context.labels)
    ]


_OUTPUT = "logits_{}"


def estimator(model: tf.keras.Model, params: Mapping[str, Any], config: Any):
    """An Estimator of a compiled functional model.

    Args:
        model: made of `inputs` and `outputs`, compiled with `loss` (or losses of Keras' that take
            logits) and a `tf.keras.optimizers.legacy` optimizer. Its initial weights are kept.
        params: see `models.registry`.
        config: the `RunConfig`, with a `model_dir`.

    Raises:
        ValueError: it is to be trained by replicas. A step of what `model_to_estimator` makes for
            them does not end.
    """
    if config.train_distribute:
        raise ValueError(
            "train.cluster.mirrored: found a Keras model, which `model_to_estimator` cannot train "
            "on several devices; expected another kind, as mlp: choose that, or remove mirrored"
        )
    converted = estimator_api.model_to_estimator(
        model, config=config, model_dir=config.model_dir, checkpoint_format="saver"
    )
    wanted = [tensor.name for tensor in model.inputs]

    def model_fn(features, labels, mode, params, config):
        names = [label.name for label in params["context"].labels]
        head = heads.for_labels(params["context"].labels)
        dense = {**features, **networks.sequences(features)}
        fed = {name: dense[name] for name in wanted}
        targets = None
        if mode != ModeKeys.PREDICT:
            by_name = labels if isinstance(labels, Mapping) else {names[0]: labels}
            targets = {
                _OUTPUT.format(i): tf.cast(
                    heads.for_label(label).targets(by_name[label.name]), tf.float32
                )[:, tf.newaxis]
                for i, label in enumerate(params["context"].labels)
            }
            if preprocessing.WEIGHT in features:
                # The form in which `model_to_estimator` takes weights.
                weights = dict.fromkeys(targets, features[preprocessing.WEIGHT])
                fed = {"features": fed, "sample_weights": weights}
        spec = converted.model_fn(fed, targets, mode, config)
        logits = tf.concat([spec.predictions[_OUTPUT.format(i)] for i in range(len(names))], axis=1)
        # Keras trained; what is served and measured is the head's.
        if mode == ModeKeys.TRAIN:
            # Keras has taken the name under which the Estimator shows the loss; the slash takes it
            # back, and the Estimator finds it.
            summary = tf.raw_ops.ScalarSummary(tags="loss", values=spec.loss, name="loss/")
            tf.compat.v1.add_to_collection(tf.compat.v1.GraphKeys.SUMMARIES, summary)
            return EstimatorSpec(mode, loss=spec.loss, train_op=spec.train_op)
        served = head.create_estimator_spec(features, mode, logits, labels)
        return served._replace(loss=spec.loss) if mode == ModeKeys.EVAL else served

    return estimator_api.Estimator(
        model_fn,
        params=dict(params),
        config=config,
        # The model's own initial weights, which `model_to_estimator` saved there.
        warm_start_from=tf.train.latest_checkpoint(f"{config.model_dir}/keras"),
    )
