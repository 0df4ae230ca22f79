"""Checks of bounds, in sentences: the metric's value, and what it was compared with.

Absolute bounds and the constant predictor are checked on the whole split, change bounds overall and
on slices. A bound that cannot be checked counts as violated: only a person can set a comparison
aside.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from components.evaluator.bounds import Bound
from components.evaluator.comparison import ACCEPT
from components.evaluator.criteria import Slice
from components.evaluator.tfma_results import OVERALL, Values

SMALLEST_GAIN = 0.01
"""Minimum improvement over a constant; less may be luck with the test split."""


class Line(NamedTuple):
    """A line of the verdict."""

    passed: bool
    text: str


def absolute_lines(bound: Bound, values: Mapping[str, float]) -> list[Line]:
    """Checks the absolute bound and the constant predictor, as they apply."""
    lines = []
    limit, reason = _limit(bound)
    if limit is not None:
        value = values.get(bound.metric, math.nan)
        # NaN, the value of a metric that could not be computed, meets nothing.
        passed = value <= limit if bound.lower_is_better else value >= limit
        shown, limit_shown = _format_distinctly(value, limit)
        rule = f"at {'most' if bound.lower_is_better else 'least'} {limit_shown}{reason}"
        lines.append(Line(passed, f"{bound.title} is {shown}; it must be {rule}"))
    if bound.definition.constant_sums:
        lines.append(_constant_line(bound, values))
    return lines


def _limit(bound: Bound) -> tuple[float | None, str]:
    """Returns the worst value that passes, and why if it is not the absolute bound."""
    reached = bound.definition.reached_by_constant
    if reached is not None:
        # Whatever the bound, a model must beat a constant.
        required = reached + SMALLEST_GAIN
        if bound.absolute is None or bound.absolute < required:
            return required, f", as a constant predictor reaches {format_metric(reached)}"
    return bound.absolute, ""


def _constant_line(bound: Bound, values: Mapping[str, float]) -> Line:
    names = (bound.prefix + name for name in bound.definition.names)
    value, constant, gain = (values.get(name, math.nan) for name in names)
    passed = gain >= SMALLEST_GAIN
    shown, constant_shown = _format_distinctly(value, constant)
    share = f"{gain:.0%}" if passed else f"at least {SMALLEST_GAIN:.0%}"
    if bound.lower_is_better:
        rule = f"is {share} lower" if passed else f"is {shown}, but must be {share} lower"
    else:
        rule = f"is {shown}, {share} fewer errors" + ("" if passed else " are required")
    text = f"{bound.title} of a constant predictor is {constant_shown}; the model's {rule}"
    return Line(passed, text)


def change_lines(
    bound: Bound, slices: Sequence[tuple[str, ...]], candidate: Values, baseline: Values
) -> list[Line]:
    """Checks a change bound: a line for the whole split, and one for each slice that fails.

    If no slice fails, one line says so.

    Args:
        bound: a bound with `may_worsen_by`.
        slices: keys of the gated slices.
        candidate: metrics of the candidate.
        baseline: metrics of the baseline.
    """

    def change(part: tuple[str, ...]) -> _Change:
        before = baseline.get(part, {}).get(bound.metric, math.nan)
        values = candidate[part]
        examples = int(values["example_count"]) if part else 0
        return _Change(bound, part, values[bound.metric], before, examples)

    overall = change(OVERALL)
    if not math.isfinite(overall.before):
        return [overall.line]  # says it all
    failures = [line for line in (change(part).line for part in slices) if not line.passed]
    if slices and not failures:
        side = "above" if bound.lower_is_better else "below"
        rule = f"at most {overall.allowance} {side} the baseline's"
        text = f"{bound.title} is {rule} in every gated slice ({len(slices)})"
        return [overall.line, Line(True, text)]
    return [overall.line, *failures]


@dataclasses.dataclass(frozen=True)
class _Change:
    """A metric of the candidate and of the baseline.

    Attributes:
        bound: the change bound on the metric.
        part: key of the slice.
        value: the candidate's value.
        before: the baseline's value.
        examples: number of examples in the slice.
    """

    bound: Bound
    part: tuple[str, ...]
    value: float
    before: float
    examples: int

    @property
    def allowance(self) -> str:
        """By how much the metric may worsen: 5% for an error, 0.05 for a score."""
        share = self.bound.may_worsen_by or 0.0
        return f"{100 * share:.3g}%" if self.bound.lower_is_better else format_metric(share)

    @property
    def limit(self) -> float:
        """The worst value that passes.

        The bound of an error is a share of the baseline's value. A score may be zero or negative,
        where a share is meaningless, so its bound is an absolute difference.
        """
        may_worsen_by = self.bound.may_worsen_by or 0.0
        if self.bound.lower_is_better:
            return self.before * (1 + may_worsen_by)
        return self.before - may_worsen_by

    @property
    def is_allowed(self) -> bool:
        """Whether the bound can be checked and is met.

        A slice where the metric is undefined for both models, as the AUC is when all labels are
        equal, is not held against the candidate.
        """
        if not math.isfinite(self.before):
            return bool(self.part) and not math.isfinite(self.value)
        # NaN meets nothing.
        return self.value <= self.limit if self.bound.lower_is_better else self.value >= self.limit

    @property
    def line(self) -> Line:
        """The line of the verdict."""
        title = self.bound.title
        if self.part:
            column = Slice.of_key(self.part[0]).column
            title += f" where {column} is {self.part[1]} ({self.examples} examples)"
        value, limit = _format_distinctly(self.value, self.limit)
        if not math.isfinite(self.before):
            problem = f"but the baseline has no {self.bound.title} to compare it with"
            return Line(self.is_allowed, f"{title} is {value}, {problem}; {ACCEPT}")
        text = f"{title} is {value}, the baseline's is {format_metric(self.before)}"
        if self.bound.lower_is_better and self.before:
            text += f" ({self.value / self.before - 1:+.1%})"
        direction = "rise" if self.bound.lower_is_better else "fall"
        rule = f"it may {direction} by {self.allowance}, to {limit}"
        return Line(self.is_allowed, f"{text}; {rule}")


def format_metric(value: float, more_digits: int = 0) -> str:
    """Formats the value of a metric: 118,233 or 0.1583."""
    if abs(value) < 1000:
        return f"{value:.{4 + more_digits}g}"
    text = f"{value:,.{more_digits}f}"
    return text.rstrip("0").rstrip(".") if more_digits else text


def _format_distinctly(value: float, limit: float) -> tuple[str, str]:
    """Formats two values with enough digits that a reader sees which one is greater."""
    for more_digits in range(14):
        texts = format_metric(value, more_digits), format_metric(limit, more_digits)
        if value == limit or texts[0].replace(",", "") != texts[1].replace(",", ""):
            break
    return texts
