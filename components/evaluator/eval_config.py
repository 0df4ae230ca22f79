"""Makes TFMA's `EvalConfig` from a `Judgement` and what the training split says of the label."""

import json
from typing import Any

import tensorflow_model_analysis as tfma

from components.evaluator import metrics
from components.evaluator.judgement import Bound, Judgement
from models import heads
from models.label import Label

CANDIDATE = "candidate"
BASELINE = "baseline"

REACHED_BY_CONSTANT = {"skill": 0.0, "auc": 0.5}
"""Metrics whose value for a constant predictor is known beforehand."""

SMALLEST_GAIN = 0.01
"""What a model must be better than a constant by: less may be the luck of a test split."""


def make(judgement: Judgement, label: Label) -> tfma.EvalConfig:
    """The configuration of an evaluation beside a baseline, with the absolute bounds.

    The Evaluator drops the baseline itself when there is none. Change bounds are the verdict's:
    TFMA refuses whatever is compared with a zero, and a gated slice that has no examples.
    """
    prediction_key = {
        "regression": heads.PREDICTIONS,
        "binary": heads.LOGISTIC,
        "multiclass": heads.PROBABILITIES,
    }[judgement.task]
    specs = [
        tfma.ModelSpec(
            name=name,
            is_baseline=name == BASELINE,
            signature_name="predict",
            label_key=label.name,
            prediction_key=prediction_key,
            model_type=tfma.TF_GENERIC,
            inference_batch_size=512,
        )
        for name in (CANDIDATE, BASELINE)
    ]
    slices = [tfma.SlicingSpec()]
    slices += [tfma.SlicingSpec(feature_keys=[part.key]) for part in judgement.slices]
    bounds = {bound.metric: bound for bound in judgement.bounds}
    configs = [tfma.MetricConfig(class_name="ExampleCount")]
    for name in judgement.metrics:
        bound = bounds.get(name)
        config = _metric(name, judgement.task, label)
        if bound:
            _add_thresholds(config, bound)
        configs.append(config)
        if name == "skill" or judgement.task == "binary" and name == "auc":
            continue
        configs.append(_metric(name + metrics.OF_CONSTANT, judgement.task, label))
        gain = _metric(name + metrics.GAIN, judgement.task, label)
        if bound:
            _on(gain, lower_bound=SMALLEST_GAIN)
        configs.append(gain)
    return tfma.EvalConfig(
        model_specs=specs,
        slicing_specs=slices,
        metrics_specs=[tfma.MetricsSpec(metrics=configs, model_names=[CANDIDATE, BASELINE])],
    )


def _metric(name: str, task: str, label: Label) -> tfma.MetricConfig:
    if name == "auc":
        return tfma.MetricConfig(class_name="AUC", config=json.dumps({"name": "auc"}))
    settings: dict[str, Any] = {"name": name}
    if task == "regression":
        kind = metrics.Regression.__name__
        settings.update(mean=label.mean, median=label.median, log_mean=label.log_mean)
    else:
        kind = metrics.Classification.__name__
        settings.update(frequencies=label.frequencies)
    return tfma.MetricConfig(class_name=kind, module=metrics.__name__, config=json.dumps(settings))


def _add_thresholds(config: tfma.MetricConfig, bound: Bound) -> None:
    if bound.absolute is not None:
        key = "upper_bound" if bound.lower_is_better else "lower_bound"
        _on(config, **{key: bound.absolute})
    # Whatever the bound, no better than a constant is not good enough.
    if bound.metric in REACHED_BY_CONSTANT:
        _on(config, lower_bound=REACHED_BY_CONSTANT[bound.metric] + SMALLEST_GAIN)


def _on(config: tfma.MetricConfig, **bounds: float) -> None:
    """Adds an absolute bound on the whole split."""
    threshold = config.per_slice_thresholds.add(slicing_specs=[tfma.SlicingSpec()])
    for key, value in bounds.items():
        getattr(threshold.threshold.value_threshold, key).value = value
