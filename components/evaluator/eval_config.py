"""TFMA's `EvalConfig`, made from `Criteria` and the statistics of the labels in training."""

import json
from collections.abc import Sequence

import tensorflow_model_analysis as tfma

from components.evaluator import tfma_metrics
from components.evaluator.criteria import Criteria
from models.features import label as label_lib
from models.features.label import Label

CANDIDATE = "candidate"
BASELINE = "baseline"


def make(criteria: Criteria, labels: Sequence[Label]) -> tfma.EvalConfig:
    """Returns the configuration of an evaluation beside a baseline.

    For TFMA, each label is an output of the model, named after its column; `extractors` stores the
    predictions for a label under that name. The Evaluator drops the baseline if there is none.
    It has no thresholds: TFMA computes metrics, and the verdict alone compares them with bounds.
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
    slices += [tfma.SlicingSpec(feature_keys=[part.key]) for part in criteria.slices]
    names = [CANDIDATE, BASELINE]
    without_label = [
        tfma.MetricConfig(class_name=kind.__name__, module=tfma_metrics.__name__)
        for kind in (tfma_metrics.ExampleCount, tfma_metrics.RowFindings)
    ]
    specs = [tfma.MetricsSpec(metrics=without_label, model_names=names)]
    for label in labels:
        settings = {"label": label_lib.to_json([label]), "metrics": criteria.metrics[label.name]}
        config = tfma.MetricConfig(
            class_name=tfma_metrics.LabelMetrics.__name__,
            module=tfma_metrics.__name__,
            config=json.dumps(settings),
        )
        specs.append(
            tfma.MetricsSpec(metrics=[config], model_names=names, output_names=[label.name])
        )
    return tfma.EvalConfig(model_specs=models, slicing_specs=slices, metrics_specs=specs)
