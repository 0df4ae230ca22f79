"""TFMA's computation of the metrics in the catalogue.

What TFMA takes for an example is a pack of them here (see `slice_batches`): labels and predictions
are arrays with one row per example, and are summed as arrays. Summing one example at a time would
take a hundred times as long.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
from tensorflow_model_analysis.metrics import metric_types

from components.evaluator import metric_catalogue, row_checks
from components.evaluator.metric_catalogue import Metric, Rows, Sum
from components.evaluator.slice_batches import FINDINGS
from models.features import label as label_lib
from models.features.label import Label


class LabelMetrics(metric_types.Metric):
    """Metrics of a label, with those of the constant predictor, computed from shared sums.

    Args:
        label: the label, as `label.to_json` writes it.
        metrics: names of the metrics.
        name: ignored; the results have names of their own.
    """

    def __init__(self, label: str, metrics: Sequence[str], name: str = "label_metrics"):
        (read,) = label_lib.from_json(label)
        of_task = metric_catalogue.of_task(read.task)
        super().__init__(
            _label_computations,
            name=name,
            label=read,
            metrics=[of_task[metric] for metric in metrics],
        )


class ExampleCount(metric_types.Metric):
    """The number of rows."""

    def __init__(self, name: str = "example_count"):
        super().__init__(_count_computations, name=name)


class RowFindings(metric_types.Metric):
    """The problems with predictions, as JSON: a list of `row_checks.Finding`s, each as a list."""

    def __init__(self, name: str = "row_findings"):
        super().__init__(_findings_computations, name=name)


metric_types.register_metric(LabelMetrics)
metric_types.register_metric(ExampleCount)
metric_types.register_metric(RowFindings)


def _label_computations(
    label: Label,
    metrics: Sequence[Metric],
    model_names: Sequence[str] = ("",),
    output_names: Sequence[str] = ("",),
    **unused,
) -> metric_types.MetricComputations:
    """Returns, for each model and output, the shared sums and the metrics derived from them."""
    sums = tuple(
        dict.fromkeys(term for metric in metrics for term in (*metric.sums, *metric.constant_sums))
    )
    computations: list = []
    for model_name, output_name in itertools.product(model_names, output_names):
        owner = {"model_name": model_name, "output_name": output_name}
        shared = metric_types.MetricKey(name="_sums", **owner)
        keys = {
            name: metric_types.MetricKey(name=name, **owner)
            for metric in metrics
            for name in metric.names
        }

        def derive(results, shared=shared, keys=keys):
            totals, count = results[shared]
            if not count:
                return dict.fromkeys(keys.values(), math.nan)
            means = {term: total / count for term, total in zip(sums, totals)}
            return {
                keys[name]: value
                for metric in metrics
                for name, value in metric.values(means.__getitem__).items()
            }

        computations += [
            metric_types.MetricComputation(
                keys=[shared], preprocessors=None, combiner=_Sums(shared, label, sums)
            ),
            metric_types.DerivedMetricComputation(keys=list(keys.values()), result=derive),
        ]
    return computations


def _count_computations(
    name: str, model_names: Sequence[str] = ("",), **unused
) -> metric_types.MetricComputations:
    keys = [metric_types.MetricKey(name=name, model_name=model) for model in model_names]
    return [
        metric_types.MetricComputation(keys=[key], preprocessors=None, combiner=_Count(key))
        for key in keys
    ]


def _findings_computations(
    name: str, model_names: Sequence[str] = ("",), **unused
) -> metric_types.MetricComputations:
    # Unlike all other metrics, this one needs neither labels nor predictions.
    inputs = metric_types.StandardMetricInputsPreprocessor({FINDINGS: {}}, False)
    keys = [metric_types.MetricKey(name=name, model_name=model) for model in model_names]
    return [
        metric_types.MetricComputation(
            keys=[key], preprocessors=[inputs], combiner=_MergedFindings(key)
        )
        for key in keys
    ]


class _Sums(beam.CombineFn):
    """Adds up each of the sums over packs, and counts their rows."""

    def __init__(self, key: metric_types.MetricKey, label: Label, sums: Sequence[Sum]):
        self._key, self._label, self._sums = key, label, sums

    def create_accumulator(self):
        return [0.0] * len(self._sums), 0

    def add_input(self, accumulator, element):
        totals, count = accumulator
        truth, predictions = (
            _of(values, self._key.model_name, self._key.output_name).astype(float)
            for values in (element.label, element.prediction)
        )
        rows = Rows(self._label, truth[:, 0], predictions)
        totals = [total + term(rows) for total, term in zip(totals, self._sums)]
        return totals, count + len(rows.truth)

    def merge_accumulators(self, accumulators):
        totals, counts = zip(*accumulators)
        return [sum(parts) for parts in zip(*totals)], sum(counts)

    def extract_output(self, accumulator):
        return {self._key: accumulator}


class _Count(beam.CombineFn):
    """Counts the rows in packs."""

    def __init__(self, key: metric_types.MetricKey):
        self._key = key

    def create_accumulator(self):
        return 0

    def add_input(self, accumulator, element):
        labels = _of(element.label, self._key.model_name, "")
        return accumulator + len(next(iter(labels.values())))

    def merge_accumulators(self, accumulators):
        return sum(accumulators)

    def extract_output(self, accumulator):
        return {self._key: accumulator}


class _MergedFindings(beam.CombineFn):
    """Merges the findings in packs, see `row_checks.merged`."""

    def __init__(self, key: metric_types.MetricKey):
        self._key = key

    def create_accumulator(self):
        return []

    def add_input(self, accumulator, element):
        findings = element.get(FINDINGS) or {}
        return row_checks.merged([*accumulator, *findings.get(self._key.model_name, [])])

    def merge_accumulators(self, accumulators):
        return row_checks.merged(itertools.chain.from_iterable(accumulators))

    def extract_output(self, accumulator):
        return {self._key: json.dumps([dataclasses.astuple(finding) for finding in accumulator])}


def _of(values: Mapping[str, Any], model_name: str, output_name: str) -> Any:
    """Selects the values of a model and of an output; an empty name selects nothing."""
    if model_name:
        values = values[model_name]
    return values[output_name] if output_name else values
