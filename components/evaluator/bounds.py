"""Bounds on metrics, and the only parser of their values.

The configuration, the parameters of a run and the Evaluator give bounds in the same form, as
`{"rmse": {"at_most": 115000, "may_worsen_by": 0.05}}`, and refuse the same mistakes.
"""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from components.evaluator import metric_catalogue
from components.evaluator.metric_catalogue import Metric
from models.errors import UserError, nearest

_AT_MOST = "at_most"
_AT_LEAST = "at_least"
_MAY_WORSEN_BY = "may_worsen_by"


class Mistake(NamedTuple):
    """Mistake in the bounds: where it is, as `("rmse", "at_most")`, and what is wrong."""

    keys: tuple[str, ...]
    message: str


@dataclasses.dataclass(frozen=True)
class Bound:
    """A gate on one metric.

    Attributes:
        metric: name of the metric; for any label but the first, prefixed by the label's column, as
            in `waterfront/auc`.
        absolute: the worst acceptable value; None without an absolute bound.
        may_worsen_by: how much worse than the baseline the metric may be: for an error, a share of
            the baseline's value; for a score (higher is better), an absolute difference.
    """

    metric: str
    absolute: float | None
    may_worsen_by: float | None

    @property
    def definition(self) -> Metric:
        """The metric in the catalogue."""
        return metric_catalogue.of_key(self.metric)

    @property
    def prefix(self) -> str:
        """The prefix of the label's metrics, such as `waterfront/`; empty for the first label."""
        return self.metric.removesuffix(self.definition.name)

    @property
    def title(self) -> str:
        """Name of the metric in sentences."""
        column = self.prefix.removesuffix("/")
        return f"{column} {self.definition.title}" if column else self.definition.title

    @property
    def lower_is_better(self) -> bool:
        """Direction of the metric."""
        return self.definition.lower_is_better

    @property
    def values(self) -> dict[str, float]:
        """The values that are set, by name, as `read` takes them."""
        values = {_key(self.definition): self.absolute, _MAY_WORSEN_BY: self.may_worsen_by}
        return {name: value for name, value in values.items() if value is not None}


def read(metric: str, values: Any) -> tuple[Bound, list[Mistake]]:
    """Reads the bound on a metric that exists.

    Args:
        metric: the gate's key.
        values: mapping of `at_most` (if lower is better) or `at_least`, and `may_worsen_by`, to
            numbers; as YAML takes 1e6 for text, also to text that is a number. A name that is left
            out, or None, sets no such bound.

    Returns:
        The bound, and the mistakes in the values. The bound is valid only without mistakes.
    """
    bound = Bound(metric, None, None)
    if values is None:
        return bound, [Mistake((metric,), "is empty; give a value or remove the key")]
    if not isinstance(values, Mapping):
        return bound, [Mistake((metric,), "expected keys and values")]
    mistakes = []
    numbers: dict[str, float | None] = {}
    for name, value in values.items():
        if name not in (_AT_MOST, _AT_LEAST, _MAY_WORSEN_BY):
            hint = nearest(str(name), (_AT_MOST, _AT_LEAST, _MAY_WORSEN_BY))
            mistakes.append(Mistake((metric, str(name)), f"unknown key{hint}"))
            continue
        try:
            numbers[name] = None if value is None else _number(value)
        except ValueError as error:
            mistakes.append(Mistake((metric, name), str(error)))
    if mistakes:
        return bound, mistakes
    key = _key(bound.definition)
    bound = Bound(metric, numbers.pop(key, None), numbers.pop(_MAY_WORSEN_BY, None))
    if any(value is not None for value in numbers.values()):
        (wrong,) = numbers
        better = "lower" if bound.lower_is_better else "higher"
        message = f"found {wrong}, but a {better} {bound.title} is better: write {key}"
        mistakes.append(Mistake((metric,), message))
    elif bound.absolute is not None and (message := _out_of_reach(bound, bound.absolute)):
        mistakes.append(Mistake((metric, key), message))
    if bound.may_worsen_by is not None and not 0 <= bound.may_worsen_by < 1:
        message = "expected a difference from the baseline's value from 0 to 1"
        if bound.lower_is_better:
            message = "expected a share of the baseline's value from 0 to 1 (0.02 is 2 %)"
        mistakes.append(Mistake((metric, _MAY_WORSEN_BY), message))
    return bound, mistakes


def no_absolute(bounds: Iterable[Bound], label: str, metrics: Iterable[str]) -> str:
    """Returns why bounds would bless a useless model; empty if they would not.

    At least one absolute bound must be on the predictions of the first label: coverage is met by
    intervals wide enough, and a further label alone must not decide.

    Args:
        bounds: all bounds.
        label: column of the first label.
        metrics: names of its metrics.
    """
    bounded = {bound.metric for bound in bounds if bound.absolute is not None}
    definitions = map(metric_catalogue.of_key, metrics)
    judging = [metric for metric in definitions if not metric.needs_intervals]
    if bounded & {metric.name for metric in judging}:
        return ""
    of_what = f" on the predictions of {label}" if bounded else ""
    return (
        f"no absolute bound{of_what}: without one the first model would be blessed however bad it "
        f"is; add for example {judging[0].name}: {{{_key(judging[0])}: <value>}}"
    )


def _key(metric: Metric) -> str:
    return _AT_MOST if metric.lower_is_better else _AT_LEAST


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise UserError("expected a number")
    try:
        result = float(value)
    except (ValueError, OverflowError):
        raise UserError("expected a number") from None
    if not math.isfinite(result):
        raise UserError("expected a finite number")
    return result


def _out_of_reach(bound: Bound, absolute: float) -> str:
    """Returns why no model can meet an absolute bound; empty if one can."""
    best = bound.definition.best
    if bound.lower_is_better and absolute < best:
        return f"found {absolute:g}, expected {best:g} or more: no {bound.title} is below {best:g}"
    if not bound.lower_is_better and absolute > best:
        return (
            f"found {absolute:g}, expected {best:g} or less (0.9 is 90 %): no {bound.title} is "
            f"above {best:g}"
        )
    return ""
