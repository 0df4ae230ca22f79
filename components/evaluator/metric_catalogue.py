"""Catalogue of the Evaluator's metrics: each is an entry of `METRICS`, and is defined nowhere else.

Configuration, evaluation, tuning and verdict look metrics up here; `tfma_metrics` computes them. To
add one, add an entry and the sums that it needs.

A metric is a function of sums over rows, divided by the number of rows. From the sums of a constant
predictor, the same function gives `NAME_of_constant`, what the constant reaches on the same rows.
`NAME_gain` is the share of the constant's error that the model removes (1 − model / constant; the
error of accuracy is the share of misses). A model without gain has learned nothing, whatever the
value of its metric.

The constant is the best one in the train split: the mean for squared errors, the median for
absolute errors, the mean of the logarithms for logarithmic errors, the class frequencies for the
log loss, the most frequent class for accuracy.

The module imports neither TensorFlow nor TFMA, because loading a configuration imports it.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from models.features.label import Label

COVERAGE = "coverage"
INTERVAL_WIDTH = "interval_width"


@dataclasses.dataclass(frozen=True)
class Rows:
    """Labels and predictions of a batch of rows.

    Attributes:
        label: the label, with its statistics in the train split.
        truth: the raw labels or, in a classification, the indices of their classes; [rows].
        predictions: in a regression, the value, followed by the lower and the upper end of its
            interval if there are intervals; in a classification, the probability of each class, or
            only that of the second; [rows, width].
    """

    label: "Label"
    truth: np.ndarray
    predictions: np.ndarray

    @functools.cached_property
    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends; NaN if there are no intervals."""
        if self.predictions.shape[1] == 1:
            return np.full_like(self.truth, math.nan), np.full_like(self.truth, math.nan)
        return self.predictions[:, 1], self.predictions[:, 2]

    @functools.cached_property
    def probabilities(self) -> np.ndarray:
        """Probability of each class; NaN in rows where any is not finite."""
        p = self.predictions
        if p.shape[1] == 1:
            p = np.concatenate([1 - p, p], axis=1)
        return np.where(np.isfinite(p).all(axis=1, keepdims=True), p, math.nan)


Sum = Callable[[Rows], float | np.ndarray]
"""Function whose results are added up over all batches; at module level, since Beam pickles it."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """Metric of a label.

    Attributes:
        name: name in the configuration and in `verdict.json`, without the label's column.
        title: name in sentences.
        tasks: the tasks that have the metric.
        lower_is_better: whether it is an error; otherwise it is a score.
        sums: the sums that the metric is computed from.
        value: function of the sums, each divided by the number of rows.
        constant_sums: `sums` of the best constant predictor; empty if its value is known in advance
            or means nothing.
        reached_by_constant: the value that every constant reaches, if it is known in advance.
        needs_intervals: whether only labels with prediction intervals have the metric.
    """

    name: str
    title: str
    tasks: tuple[str, ...]
    lower_is_better: bool
    sums: tuple[Sum, ...]
    value: Callable[..., float]
    constant_sums: tuple[Sum, ...] = ()
    reached_by_constant: float | None = None
    needs_intervals: bool = False

    @property
    def best(self) -> float:
        """The best possible value: no error is below 0, and no score is above 1."""
        return 0.0 if self.lower_is_better else 1.0

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all `values`."""
        companions = (f"{self.name}_of_constant", f"{self.name}_gain")
        return (self.name, *companions) if self.constant_sums else (self.name,)

    def values(self, mean: Callable[[Sum], float | np.ndarray]) -> dict[str, float]:
        """Returns the metric and, if the constant has sums, its value and the gain, by name.

        Args:
            mean: function that returns a sum, divided by the number of rows.
        """
        values = [self.value(*map(mean, self.sums))]
        if self.constant_sums:
            values.append(self.value(*map(mean, self.constant_sums)))
            values.append(_share_removed(*(abs(self.best - value) for value in values)))
        return dict(zip(self.names, values))


def _share_removed(error: float, error_of_constant: float) -> float:
    # Where the constant makes no error, there is nothing to remove.
    return 1.0 - error / error_of_constant if error_of_constant > 0 else math.nan


def _squared_error(rows: Rows) -> float:
    return ((rows.truth - rows.predictions[:, 0]) ** 2).sum()


def _squared_error_of_mean(rows: Rows) -> float:
    return ((rows.truth - rows.label.mean) ** 2).sum()


def _absolute_error(rows: Rows) -> float:
    return np.abs(rows.truth - rows.predictions[:, 0]).sum()


def _absolute_error_of_median(rows: Rows) -> float:
    return np.abs(rows.truth - rows.label.median).sum()


def _squared_log_error(rows: Rows) -> float:
    return ((_log1p(rows.truth) - _log1p(rows.predictions[:, 0])) ** 2).sum()


def _squared_log_error_of_mean(rows: Rows) -> float:
    return ((_log1p(rows.truth) - rows.label.log_mean) ** 2).sum()


def _log1p(values: np.ndarray) -> np.ndarray:
    return np.log1p(np.maximum(values, 0.0))


def _labels_within_interval(rows: Rows) -> float:
    """Counts the labels within their intervals; NaN if a row has no interval."""
    lower, upper = rows.interval
    within = (lower <= rows.truth) & (rows.truth <= upper)
    return np.where(np.isnan(upper - lower), math.nan, within).sum()


def _interval_width(rows: Rows) -> float:
    lower, upper = rows.interval
    return (upper - lower).sum()


def _hits(rows: Rows) -> float:
    """Counts the hits; NaN if a row has no valid probabilities, and so is neither hit nor miss."""
    hits = rows.probabilities.argmax(axis=1) == rows.truth
    return np.where(np.isnan(rows.probabilities[:, 0]), math.nan, hits).sum()


def _hits_of_most_frequent_class(rows: Rows) -> float:
    return (rows.truth == np.argmax(rows.label.frequencies)).sum()


def _log_loss(rows: Rows) -> float:
    return _surprise(rows.truth, rows.probabilities)


def _log_loss_of_frequencies(rows: Rows) -> float:
    shape = len(rows.truth), len(rows.label.frequencies)
    return _surprise(rows.truth, np.broadcast_to(rows.label.frequencies, shape))


def _surprise(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Adds up −log(probability of the true class); a class unseen in training has the smallest."""
    truth = truth.astype(int)
    known = (truth >= 0) & (truth < probabilities.shape[1])
    p = known * probabilities[np.arange(len(truth)), np.where(known, truth, 0)]
    return -np.log(np.maximum(p, _SMALLEST_PROBABILITY)).sum()


_SMALLEST_PROBABILITY = 1e-7


def _log_odds_histograms(rows: Rows) -> np.ndarray:
    """Counts the rows of each class by their predicted log-odds; [2 * _STEPS].

    Bins of equal width in log-odds separate small probabilities as well as those around one half.
    Rows in one bin count as ties: the area is off by at most half the share of pairs in one bin.
    """
    p = rows.predictions[:, 0]
    if np.isnan(p).any():
        return np.full(2 * _STEPS, math.nan)
    with np.errstate(divide="ignore"):
        odds = np.log(p) - np.log1p(-p)
    share = (np.clip(odds, -_FARTHEST, _FARTHEST) / _FARTHEST + 1) / 2
    step = np.minimum((share * _STEPS).astype(int), _STEPS - 1)
    bins = rows.truth.astype(int) * _STEPS + step
    return np.bincount(bins, minlength=2 * _STEPS).astype(float)


_STEPS = 10_000
_FARTHEST = 20.0


def _area_under_curve(histograms: np.ndarray) -> float:
    """Returns how often a row of the second class ranks above one of the first."""
    first, second = np.split(histograms, 2)
    pairs = first.sum() * second.sum()
    below = np.cumsum(first) - first / 2
    # With a single class there are no pairs.
    return second @ below / pairs if pairs else math.nan


REGRESSION = ("regression",)
CLASSIFICATION = ("binary", "multiclass")

METRICS = (
    Metric("rmse", "RMSE", REGRESSION, lower_is_better=True,
           sums=(_squared_error,), value=math.sqrt,
           constant_sums=(_squared_error_of_mean,)),
    Metric("mae", "MAE", REGRESSION, lower_is_better=True,
           sums=(_absolute_error,), value=float,
           constant_sums=(_absolute_error_of_median,)),
    Metric("rmsle", "RMSLE", REGRESSION, lower_is_better=True,
           sums=(_squared_log_error,), value=math.sqrt,
           constant_sums=(_squared_log_error_of_mean,)),
    # R², against the mean of the train split.
    Metric("skill", "skill", REGRESSION, lower_is_better=False,
           sums=(_squared_error, _squared_error_of_mean), value=_share_removed,
           reached_by_constant=0.0),
    # A single interval for all rows can cover just as many labels, so a constant says nothing.
    Metric(COVERAGE, "coverage", REGRESSION, lower_is_better=False, needs_intervals=True,
           sums=(_labels_within_interval,), value=float),
    Metric(INTERVAL_WIDTH, "mean interval width", REGRESSION, lower_is_better=True,
           needs_intervals=True, sums=(_interval_width,), value=float),
    Metric("auc", "AUC", ("binary",), lower_is_better=False,
           sums=(_log_odds_histograms,), value=_area_under_curve, reached_by_constant=0.5),
    Metric("accuracy", "accuracy", CLASSIFICATION, lower_is_better=False,
           sums=(_hits,), value=float, constant_sums=(_hits_of_most_frequent_class,)),
    Metric("log_loss", "log loss", CLASSIFICATION, lower_is_better=True,
           sums=(_log_loss,), value=float, constant_sums=(_log_loss_of_frequencies,)),
    # The share of the log loss of the class frequencies that the model removes.
    Metric("skill", "skill", CLASSIFICATION, lower_is_better=False,
           sums=(_log_loss, _log_loss_of_frequencies), value=_share_removed,
           reached_by_constant=0.0),
)  # fmt: skip
"""The metrics of all tasks; those of one task have distinct names."""


def of_task(task: str, intervals: bool = True) -> dict[str, Metric]:
    """Returns the metrics of a task by name, those of intervals only if there are `intervals`."""
    return {
        metric.name: metric
        for metric in METRICS
        if task in metric.tasks and (intervals or not metric.needs_intervals)
    }


def of_key(key: str) -> Metric:
    """Returns the metric of a gate's key, `rmse` or `waterfront/rmse`, in the form of any task.

    Raises:
        KeyError: no task has such a metric.
    """
    return _BY_NAME[key.rpartition("/")[2]]


_BY_NAME = {metric.name: metric for metric in METRICS}
