"""The metrics that a gate may bound, by task, and the direction in which each is better."""

import dataclasses
from collections.abc import Mapping

LOWER_IS_BETTER = "lower"
HIGHER_IS_BETTER = "higher"

NEVER = "never"
"""Value of `gates` in a configuration that blesses, and so pushes, no model."""
NOTHING_COMPARED = (
    f"the configuration has gates: {NEVER}, so no model is compared or deployed; leave it out, or "
    "give gates bounds"
)
"""The message if a new baseline is requested under `gates: never`."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of the Evaluator.

    Attributes:
        name: the name in the configuration and in reports, without the label's name.
        better: `LOWER_IS_BETTER` or `HIGHER_IS_BETTER`.
        title: the name in a verdict.
    """

    name: str
    better: str
    title: str

    @property
    def bound_key(self) -> str:
        """The configuration key of this metric's absolute bound."""
        return "at_most" if self.better == LOWER_IS_BETTER else "at_least"

    def out_of_reach(self, bound: float) -> str | None:
        """Explains why no model can meet an absolute bound; returns None if one can.

        No error is below 0, and none of the Evaluator's scores is above 1.
        """
        if self.better == LOWER_IS_BETTER and bound < 0:
            return f"found {bound:g}, expected 0 or more: no {self.title} is below 0"
        if self.better == HIGHER_IS_BETTER and bound > 1:
            return f"found {bound:g}, expected 1 or less (0.9 is 90 %): no {self.title} is above 1"
        return None


_ACCURACY = Metric("accuracy", HIGHER_IS_BETTER, "accuracy")
_LOG_LOSS = Metric("log_loss", LOWER_IS_BETTER, "log loss")
_SKILL = Metric("skill", HIGHER_IS_BETTER, "skill")

METRICS: dict[str, dict[str, Metric]] = {
    task: {metric.name: metric for metric in metrics}
    for task, metrics in {
        "regression": (
            Metric("rmse", LOWER_IS_BETTER, "RMSE"),
            Metric("mae", LOWER_IS_BETTER, "MAE"),
            Metric("rmsle", LOWER_IS_BETTER, "RMSLE"),
            _SKILL,
        ),
        "binary": (
            Metric("auc", HIGHER_IS_BETTER, "AUC"),
            _ACCURACY,
            _LOG_LOSS,
            _SKILL,
        ),
        "multiclass": (_ACCURACY, _LOG_LOSS, _SKILL),
    }.items()
}
"""Metrics by task and name. `skill` is 1 − loss / loss of the constant predictor, where the loss is
the squared error (regression, so skill is the R² against the training split's mean) or the log loss
(classification)."""

COVERAGE = "coverage"
INTERVAL_METRICS: dict[str, Metric] = {
    COVERAGE: Metric(COVERAGE, HIGHER_IS_BETTER, "coverage"),
    "interval_width": Metric("interval_width", LOWER_IS_BETTER, "mean interval width"),
}
"""Metrics of the intervals of a regression: the share of labels inside, and the mean width."""


def of_labels(
    label: str, task: str, interval: float | None, further: Mapping[str, str]
) -> dict[str, dict[str, Metric]]:
    """Returns the metrics of every label, by column (the main label first) and then by gate key.

    Args:
        label: the main label's column; the keys of its metrics are their names.
        task: the task of the main label.
        interval: the coverage that its intervals aim at; None if it has no intervals.
        further: the task of each further label, by column; its keys are like `waterfront/auc`.
    """
    own = {**METRICS[task], **(INTERVAL_METRICS if interval else {})}
    return {label: own} | {
        column: {
            f"{column}/{name}": dataclasses.replace(metric, title=f"{column} {metric.title}")
            for name, metric in METRICS[its_task].items()
        }
        for column, its_task in further.items()
    }


def by_key(of_label: Mapping[str, Mapping[str, Metric]]) -> dict[str, Metric]:
    """Flattens the result of `of_labels` into the metrics of all labels by gate key."""
    return {key: metric for own in of_label.values() for key, metric in own.items()}
