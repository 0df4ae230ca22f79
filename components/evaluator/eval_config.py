"""TFMA's `EvalConfig`, made from a `Judgement` and the statistics of the labels in training."""

import json
from collections.abc import Sequence
from typing import Any

import tensorflow_model_analysis as tfma

from components.evaluator import metrics
from components.evaluator.judgement import Bound, Judgement
from models.features.label import Label
from models.toolbox.heads import prefixes

CANDIDATE = "candidate"
BASELINE = "baseline"

REACHED_BY_CONSTANT = {"skill": 0.0, "auc": 0.5}
"""Metrics whose value for a constant predictor is known in advance, with that value."""

SMALLEST_GAIN = 0.01
"""Minimum improvement over a constant; less may be luck with the test split."""


def make(judgement: Judgement, labels: Sequence[Label]) -> tfma.EvalConfig:
    """Returns the configuration of an evaluation beside a baseline, with the absolute bounds.

    For TFMA, each label is an output of the model, named after its column; `extractors` stores the
    predictions for a label under that name. The Evaluator drops the baseline if there is none.
    Change bounds are left to the verdict: TFMA rejects any change from a zero, and any gated slice
    without examples.
    """
    models = [
        tfma.ModelSpec(
            name=name,
            is_baseline=name == BASELINE,
            signature_name="predict",
            label_keys={label.name: label.name for label in labels},
            model_type=tfma.TF_GENERIC,
        )
        for name in (CANDIDATE, BASELINE)
    ]
    slices = [tfma.SlicingSpec()]
    slices += [tfma.SlicingSpec(feature_keys=[part.key]) for part in judgement.slices]
    names = [CANDIDATE, BASELINE]
    of_no_label = [
        tfma.MetricConfig(class_name=kind.__name__, module=metrics.__name__)
        for kind in (metrics.ExampleCount, metrics.RowFindings)
    ]
    specs = [tfma.MetricsSpec(metrics=of_no_label, model_names=names)]
    for label, prefix in zip(labels, prefixes(labels)):
        metrics_of_label = _metrics(judgement, label, prefix)
        specs.append(
            tfma.MetricsSpec(metrics=metrics_of_label, model_names=names, output_names=[label.name])
        )
    return tfma.EvalConfig(model_specs=models, slicing_specs=slices, metrics_specs=specs)


def _metrics(judgement: Judgement, label: Label, prefix: str) -> list[tfma.MetricConfig]:
    """Returns each metric of a label with its `_of_constant` and `_gain` companions and bounds."""
    bounds = {bound.metric: bound for bound in judgement.bounds}
    configs = []
    for name in judgement.metrics[label.name]:
        bound = bounds.get(prefix + name)
        config = _metric(name, label)
        if bound:
            _add_thresholds(config, name, bound)
        configs.append(config)
        if name in REACHED_BY_CONSTANT or name in (metrics.COVERAGE, metrics.INTERVAL_WIDTH):
            continue
        configs.append(_metric(name + metrics.OF_CONSTANT, label))
        gain = _metric(name + metrics.GAIN, label)
        if bound:
            _on(gain, lower_bound=SMALLEST_GAIN)
        configs.append(gain)
    return configs


def _metric(name: str, label: Label) -> tfma.MetricConfig:
    settings: dict[str, Any] = {"name": name}
    if name == "auc":
        kind = metrics.Auc.__name__
    elif label.task == "regression":
        kind = metrics.Regression.__name__
        settings.update(mean=label.mean, median=label.median, log_mean=label.log_mean)
    else:
        kind = metrics.Classification.__name__
        settings.update(frequencies=label.frequencies)
    return tfma.MetricConfig(class_name=kind, module=metrics.__name__, config=json.dumps(settings))


def _add_thresholds(config: tfma.MetricConfig, name: str, bound: Bound) -> None:
    if bound.absolute is not None:
        key = "upper_bound" if bound.lower_is_better else "lower_bound"
        _on(config, **{key: bound.absolute})
    # Whatever the bound, a model must beat a constant.
    if name in REACHED_BY_CONSTANT:
        _on(config, lower_bound=REACHED_BY_CONSTANT[name] + SMALLEST_GAIN)


def _on(config: tfma.MetricConfig, **bounds: float) -> None:
    """Adds an absolute bound on the whole split."""
    threshold = config.per_slice_thresholds.add(slicing_specs=[tfma.SlicingSpec()])
    for key, value in bounds.items():
        getattr(threshold.threshold.value_threshold, key).value = value
