"""The metrics a gate may bound: which task has them, and which way is better."""

import dataclasses

LOWER_IS_BETTER = "lower"
HIGHER_IS_BETTER = "higher"


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of the Evaluator.

    Attributes:
        name: the name in the configuration and in reports.
        better: `LOWER_IS_BETTER` or `HIGHER_IS_BETTER`.
        title: how a verdict calls it.
    """

    name: str
    better: str
    title: str

    @property
    def bound_key(self) -> str:
        """The configuration key of this metric's absolute bound."""
        return "at_most" if self.better == LOWER_IS_BETTER else "at_least"


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
