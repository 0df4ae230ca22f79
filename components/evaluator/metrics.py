"""TFMA metrics of a model and of a constant predictor, computed together from shared sums.

What TFMA takes for an example is a pack of them here (see `packs`): labels and predictions are
arrays with one row per example, and are summed as arrays. Summing one example at a time would take
a hundred times as long.

Each metric NAME comes in three forms: NAME of the model, `NAME_of_constant` of the constant on the
same rows, and `NAME_gain`, the share of the constant's error that the model removes
(1 − model / constant; the error of accuracy is the share of misses). A model without gain has
learned nothing, whatever the value of its metric.

Each constant is the best one in the train split: the mean for squared errors, the median for
absolute errors, the mean of the logarithms for logarithmic errors, the class frequencies for the
log loss, the most frequent class for accuracy.

`coverage` and `interval_width` have no constant: a single interval for all rows can cover just as
many labels, so a comparison would say nothing.
"""

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types

from components.evaluator import row_checks
from components.evaluator.slice_batches import FINDINGS

OF_CONSTANT = "_of_constant"
GAIN = "_gain"

COVERAGE = "coverage"
INTERVAL_WIDTH = "interval_width"

_SMALLEST_PROBABILITY = 1e-7


class Regression(metric_types.Metric):
    """`rmse`, `mae`, `rmsle`, `skill`, one of their companions, `coverage` or `interval_width`.

    Args:
        name: name of the metric.
        mean: mean of the label in the train split.
        median: median of the label in the train split.
        log_mean: mean of log(1 + label) in the train split.
    """

    def __init__(self, name: str, mean: float, median: float, log_mean: float):
        super().__init__(_computations, name=name, sums=_RegressionSums(mean, median, log_mean))


class Classification(metric_types.Metric):
    """`accuracy`, `log_loss`, `skill`, or one of their companions.

    Args:
        name: name of the metric.
        frequencies: relative frequency of each class in the train split.
    """

    def __init__(self, name: str, frequencies: Sequence[float]):
        super().__init__(_computations, name=name, sums=_ClassificationSums(tuple(frequencies)))


class Auc(metric_types.Metric):
    """The area under the ROC curve: how often a row of the second class ranks above the other.

    It is computed from a histogram of log-odds, see `_RankingSums`.

    Args:
        name: `auc`.
    """

    def __init__(self, name: str):
        super().__init__(_computations, name=name, sums=_RankingSums())


class ExampleCount(metric_types.Metric):
    """The number of rows."""

    def __init__(self, name: str = "example_count"):
        super().__init__(_count_computations, name=name)


class RowFindings(metric_types.Metric):
    """The problems with predictions, as JSON: a list of `row_checks.Finding`s, each as a list."""

    def __init__(self, name: str = "row_findings"):
        super().__init__(_findings_computations, name=name)


metric_types.register_metric(Auc)
metric_types.register_metric(ExampleCount)
metric_types.register_metric(RowFindings)
metric_types.register_metric(Regression)
metric_types.register_metric(Classification)


class _RegressionSums:
    """Sums of squared, absolute and squared logarithmic errors, of the model and of the constant.

    They are followed by the number of labels within their interval, and the sum of interval widths;
    both are NaN unless predictions have three columns: value, lower end, upper end.
    """

    name = "_regression_sums"

    def __init__(self, mean: float, median: float, log_mean: float):
        self._mean, self._median, self._log_mean = mean, median, log_mean

    def __call__(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        y = labels[:, 0].astype(float)
        p, *ends = predictions.astype(float).T
        none = np.full_like(y, math.nan)
        within, width = none, none
        if ends:
            lower, upper = ends
            width = upper - lower
            within = np.where(np.isnan(width), math.nan, (lower <= y) & (y <= upper))
        errors = np.stack([
            (y - p) ** 2, np.abs(y - p), (_log1p(y) - _log1p(p)) ** 2,
            (y - self._mean) ** 2, np.abs(y - self._median), (_log1p(y) - self._log_mean) ** 2,
            within, width,
        ])  # fmt: skip
        return errors.sum(axis=1)

    @staticmethod
    def metrics(means: np.ndarray) -> dict[str, tuple[float, float, bool]]:
        """Returns the triple (model, constant, lower is better) by metric name."""
        model, constant, (coverage, width) = np.split(means.astype(float), (3, 6))
        squared, absolute, log_squared = map(float, model)
        c_squared, c_absolute, c_log_squared = map(float, constant)
        return {
            "rmse": (math.sqrt(squared), math.sqrt(c_squared), True),
            "mae": (absolute, c_absolute, True),
            "rmsle": (math.sqrt(log_squared), math.sqrt(c_log_squared), True),
            "skill": (_gain(squared, c_squared), 0.0, False),
            COVERAGE: (float(coverage), math.nan, False),
            INTERVAL_WIDTH: (float(width), math.nan, True),
        }


class _ClassificationSums:
    """Sums of hits and of log losses, of the model and of the constant."""

    name = "_classification_sums"

    def __init__(self, frequencies: tuple[float, ...]):
        self._frequencies = np.array(frequencies)
        self._most_frequent = int(np.argmax(frequencies))

    def __call__(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        truth, p = labels[:, 0].astype(int), predictions.astype(float)
        if p.shape[1] == 1:
            p = np.concatenate([1 - p, p], axis=1)
        # A row without valid probabilities is neither a hit nor a miss.
        valid = np.where(np.isfinite(p).all(axis=1), 1.0, math.nan)
        # A class unseen in training is a miss for both, with the smallest probability.
        known = (truth >= 0) & (truth < len(self._frequencies))
        place = np.where(known, truth, 0)
        p_truth = np.where(known, p[np.arange(len(p)), place], 0.0)
        c_truth = np.where(known, self._frequencies[place], 0.0)
        values = np.stack([
            valid * (p.argmax(axis=1) == truth),
            -np.log(np.maximum(valid * p_truth, _SMALLEST_PROBABILITY)),
            truth == self._most_frequent, -np.log(np.maximum(c_truth, _SMALLEST_PROBABILITY)),
        ])  # fmt: skip
        return values.sum(axis=1)

    @staticmethod
    def metrics(means: np.ndarray) -> dict[str, tuple[float, float, bool]]:
        """Returns the triple (model, constant, lower is better) by metric name."""
        hit, loss, c_hit, c_loss = map(float, means)
        return {
            "accuracy": (hit, c_hit, False),
            "log_loss": (loss, c_loss, True),
            "skill": (_gain(loss, c_loss), 0.0, False),
        }


class _RankingSums:
    """Histograms of the predicted log-odds, one for each of the two classes.

    Bins of equal width in log-odds separate small probabilities as well as those around one half.
    Rows in one bin count as ties: the area is off by at most half the share of pairs in one bin.
    """

    name = "_ranking_sums"
    _STEPS = 10_000
    _FARTHEST = 20.0

    def __call__(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        second = labels[:, 0].astype(int)
        p = predictions[:, 0].astype(float)
        if np.isnan(p).any():
            return np.full(2 * self._STEPS, math.nan)
        with np.errstate(divide="ignore"):
            odds = np.log(p) - np.log1p(-p)
        share = (np.clip(odds, -self._FARTHEST, self._FARTHEST) / self._FARTHEST + 1) / 2
        step = np.minimum((share * self._STEPS).astype(int), self._STEPS - 1)
        return np.bincount(second * self._STEPS + step, minlength=2 * self._STEPS).astype(float)

    @staticmethod
    def metrics(means: np.ndarray) -> dict[str, tuple[float, float, bool]]:
        """Returns the triple (model, constant, lower is better) by metric name."""
        first, second = np.split(means, 2)
        pairs = first.sum() * second.sum()
        below = np.cumsum(first) - first / 2
        # With a single class there are no pairs.
        return {"auc": (float(second @ below / pairs) if pairs else math.nan, 0.5, False)}


def _log1p(values: np.ndarray) -> np.ndarray:
    return np.log1p(np.maximum(values, 0.0))


def _gain(model: float, constant: float) -> float:
    # Where the constant makes no error, there is nothing to gain.
    return 1.0 - model / constant if constant > 0 else float("nan")


def _computations(
    name: str,
    sums,
    model_names: Sequence[str] = ("",),
    output_names: Sequence[str] = ("",),
    **unused,
) -> metric_types.MetricComputations:
    """Returns, for each model and output, the shared sums and the metric derived from them."""
    computations: list = []
    for model_name, output_name in itertools.product(model_names, output_names):
        of_what = {"model_name": model_name, "output_name": output_name}
        shared = metric_types.MetricKey(name=sums.name, **of_what)
        key = metric_types.MetricKey(name=name, **of_what)

        def derive(values, shared=shared, key=key):
            total, count = values[shared]
            return {key: _value(name, sums.metrics(total / count)) if count else float("nan")}

        computations += [
            metric_types.MetricComputation(
                keys=[shared], preprocessors=None, combiner=_Sums(shared, sums)
            ),
            metric_types.DerivedMetricComputation(keys=[key], result=derive),
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


def _value(name: str, metrics: dict[str, tuple[float, float, bool]]) -> float:
    if name.endswith(OF_CONSTANT):
        return metrics[name.removesuffix(OF_CONSTANT)][1]
    if name.endswith(GAIN):
        model, constant, lower_is_better = metrics[name.removesuffix(GAIN)]
        if not lower_is_better:
            model, constant = 1 - model, 1 - constant
        return _gain(model, constant)
    return metrics[name][0]


class _Sums(beam.CombineFn):
    """Adds up the sums over packs, and counts their rows."""

    def __init__(self, key: metric_types.MetricKey, sums):
        self._key, self._sums = key, sums

    def create_accumulator(self):
        return 0.0, 0

    def add_input(self, accumulator, element):
        total, count = accumulator
        labels = _of(element.label, self._key.model_name, self._key.output_name)
        predictions = _of(element.prediction, self._key.model_name, self._key.output_name)
        return total + self._sums(labels, predictions), count + len(labels)

    def merge_accumulators(self, accumulators):
        totals, counts = zip(*accumulators)
        return sum(totals), sum(counts)

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
        found = element.get(FINDINGS) or {}
        return row_checks.merged([*accumulator, *found.get(self._key.model_name, [])])

    def merge_accumulators(self, accumulators):
        return row_checks.merged(itertools.chain.from_iterable(accumulators))

    def extract_output(self, accumulator):
        return {self._key: json.dumps([dataclasses.astuple(each) for each in accumulator])}


def _of(values: Mapping[str, Any], model_name: str, output_name: str) -> Any:
    """Selects the values of a model and of an output; an empty name selects nothing."""
    if model_name:
        values = values[model_name]
    return values[output_name] if output_name else values
