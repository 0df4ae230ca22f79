"""TFMA metrics of a model beside those of a constant predictor, from one pass of shared sums.

For every metric NAME there are three: NAME of the model, `NAME_of_constant` of the constant on the
same rows, and `NAME_gain`, the share of the constant's error that the model removes
(1 − model / constant; the error of accuracy is the share of misses). A model with no gain has
learned nothing, whatever its absolute value.

The constants, from the training split, are the best there are: the mean for squared errors, the
median for absolute ones, the mean of the logarithms for logarithmic ones, the class frequencies for
the log loss, the most frequent class for accuracy.

`coverage` and `interval_width` stand alone: one interval for all rows can cover as many labels, so
a constant is no measure of them.
"""

import itertools
import math
from collections.abc import Sequence

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types, metric_util

OF_CONSTANT = "_of_constant"
GAIN = "_gain"

COVERAGE = "coverage"
INTERVAL_WIDTH = "interval_width"

_SMALLEST_PROBABILITY = 1e-7


class Regression(metric_types.Metric):
    """`rmse`, `mae`, `rmsle`, `skill`, one of their companions, `coverage` or `interval_width`.

    Args:
        name: which.
        mean: of the label in the training split.
        median: likewise.
        log_mean: of log(1 + label).
    """

    def __init__(self, name: str, mean: float, median: float, log_mean: float):
        super().__init__(_computations, name=name, row=_RegressionRow(mean, median, log_mean))


class Classification(metric_types.Metric):
    """`accuracy`, `log_loss` or `skill`, or one of their companions.

    Args:
        name: which.
        frequencies: of the classes in the training split.
    """

    def __init__(self, name: str, frequencies: Sequence[float]):
        super().__init__(_computations, name=name, row=_ClassificationRow(tuple(frequencies)))


metric_types.register_metric(Regression)
metric_types.register_metric(Classification)


class _RegressionRow:
    """Errors of one row: squared, absolute, squared logarithmic; of the model, of the constant.

    Then whether the label is within the interval, and its width: of predictions that hold the ends
    of an interval behind the value, otherwise NaN.
    """

    name = "_regression_sums"

    def __init__(self, mean: float, median: float, log_mean: float):
        self._mean, self._median, self._log_mean = mean, median, log_mean

    def __call__(self, label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        y = float(label.item())
        p, *ends = map(float, np.ravel(prediction))
        mean, median = self._mean, self._median
        within = width = math.nan
        if ends:
            lower, upper = ends
            within, width = float(lower <= y <= upper), upper - lower
        return np.array([
            (y - p) ** 2, abs(y - p), (_log1p(y) - _log1p(p)) ** 2,
            (y - mean) ** 2, abs(y - median), (_log1p(y) - self._log_mean) ** 2,
            within, width,
        ])  # fmt: skip

    @staticmethod
    def metrics(means: np.ndarray) -> dict[str, tuple[float, float, bool]]:
        """By name: of the model, of the constant, whether lower is better."""
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


class _ClassificationRow:
    """Hit and log loss of one row; of the model, of the constant."""

    name = "_classification_sums"

    def __init__(self, frequencies: tuple[float, ...]):
        self._frequencies = frequencies
        self._most_frequent = int(np.argmax(frequencies))

    def __call__(self, label: np.ndarray, prediction: np.ndarray) -> np.ndarray:
        truth = int(label.item())
        p = prediction.reshape(-1).astype(float)
        if p.size == 1:
            p = np.array([1 - p[0], p[0]])
        # A class that training never saw is a miss for both, at the price of the smallest p.
        known = 0 <= truth < len(self._frequencies)
        p_truth = p[truth] if known else 0.0
        c_truth = self._frequencies[truth] if known else 0.0
        return np.array([
            float(np.argmax(p) == truth), -math.log(max(p_truth, _SMALLEST_PROBABILITY)),
            float(self._most_frequent == truth), -math.log(max(c_truth, _SMALLEST_PROBABILITY)),
        ])  # fmt: skip

    @staticmethod
    def metrics(means: np.ndarray) -> dict[str, tuple[float, float, bool]]:
        """By name: of the model, of the constant, whether lower is better."""
        hit, loss, c_hit, c_loss = map(float, means)
        return {
            "accuracy": (hit, c_hit, False),
            "log_loss": (loss, c_loss, True),
            "skill": (_gain(loss, c_loss), 0.0, False),
        }


def _log1p(value: float) -> float:
    return math.log1p(max(value, 0.0))


def _gain(model: float, constant: float) -> float:
    # On a slice where the constant errs nowhere there is nothing to gain.
    return 1.0 - model / constant if constant > 0 else float("nan")


def _computations(
    name: str,
    row,
    eval_config=None,
    model_names: Sequence[str] = ("",),
    output_names: Sequence[str] = ("",),
    **unused,
) -> metric_types.MetricComputations:
    """The shared sums of each model and output, and the metric that is derived from them."""
    computations: list = []
    for model_name, output_name in itertools.product(model_names, output_names):
        of_what = {"model_name": model_name, "output_name": output_name}
        sums = metric_types.MetricKey(name=row.name, **of_what)
        key = metric_types.MetricKey(name=name, **of_what)

        def derive(values, sums=sums, key=key):
            total, count = values[sums]
            return {key: _value(name, row.metrics(total / count)) if count else float("nan")}

        computations += [
            metric_types.MetricComputation(
                keys=[sums], preprocessors=None, combiner=_Sums(sums, row, eval_config)
            ),
            metric_types.DerivedMetricComputation(keys=[key], result=derive),
        ]
    return computations


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
    """Sums a row function's values, and counts rows."""

    def __init__(self, key: metric_types.MetricKey, row, eval_config):
        self._key, self._row, self._eval_config = key, row, eval_config

    def create_accumulator(self):
        return 0.0, 0

    def add_input(self, accumulator, element):
        total, count = accumulator
        for label, prediction, _ in metric_util.to_label_prediction_example_weight(
            element,
            eval_config=self._eval_config,
            model_name=self._key.model_name,
            output_name=self._key.output_name,
            flatten=False,
        ):
            total, count = total + self._row(label, prediction), count + 1
        return total, count

    def merge_accumulators(self, accumulators):
        totals, counts = zip(*accumulators)
        return sum(totals), sum(counts)

    def extract_output(self, accumulator):
        return {self._key: accumulator}
