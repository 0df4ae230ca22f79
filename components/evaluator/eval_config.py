"""Makes TFMA's `EvalConfig` from a `Judgement` and what the training split says of the labels."""

import json
from collections.abc import Sequence
from typing import Any

import tensorflow_model_analysis as tfma

from components.evaluator import metrics
from components.evaluator.judgement import Bound, Judgement
from models.heads import prefixes
from models.label import Label

CANDIDATE = "candidate"
BASELINE = "baseline"

REACHED_BY_CONSTANT = {"skill": 0.0, "auc": 0.5}
"""Metrics whose value for a constant predictor is known beforehand."""

SMALLEST_GAIN = 0.01
"""What a model must be better than a constant by: less may be the luck of a test split."""


def make(judgement: Judgement, labels: Sequence[Label]) -> tfma.EvalConfig:
    """The configuration of an evaluation beside a baseline, with the absolute bounds.

    To TFMA each label is an output of the model, named after its column; `extractors` puts what is
    predicted for it there. The Evaluator drops the baseline itself when there is none. Change
    bounds are the verdict's: TFMA refuses whatever is compared with a zero, and a gated slice that
    has no examples.
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
    """Each metric of a label, with the companions it has, and the bounds on them."""
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
    # Whatever the bound, no better than a constant is not good enough.
    if name in REACHED_BY_CONSTANT:
        _on(config, lower_bound=REACHED_BY_CONSTANT[name] + SMALLEST_GAIN)


def _on(config: tfma.MetricConfig, **bounds: float) -> None:
    """Adds an absolute bound on the whole split."""
    threshold = config.per_slice_thresholds.add(slicing_specs=[tfma.SlicingSpec()])
    for key, value in bounds.items():
        getattr(threshold.threshold.value_threshold, key).value = value
