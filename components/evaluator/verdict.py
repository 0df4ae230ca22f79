"""The verdict of an evaluation, in sentences: every bound, the metric's value and the comparison.

Only this module decides whether a model passes. TFMA computes metrics; here they are compared with
the absolute bounds and the constant predictor, on the whole split, and with the baseline, overall
and on slices. A bound that cannot be checked counts as violated: only a person can set a comparison
aside.
"""

import base64
import dataclasses
import json
import math
from collections.abc import Sequence
from typing import Any, Optional

import tensorflow_model_analysis as tfma

from components.evaluator.bounds import Bound
from components.evaluator.criteria import Criteria, Slice
from components.evaluator.eval_config import BASELINE, CANDIDATE
from components.evaluator.metric_catalogue import COVERAGE, INTERVAL_WIDTH
from components.evaluator.row_checks import Finding
from components.serving_check.report import NOTHING_FOUND, Report
from models.features.label import Label
from models.toolbox.heads import prefixes

SMALLEST_GAIN = 0.01
"""Minimum improvement over a constant; less may be luck with the test split."""

_OVERALL = ()

_ACCEPT = (
    'to accept this model by the absolute bounds alone, say why: run --new-baseline "why" (on a '
    'cluster: --param new-baseline="why")'
)


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The deployed version that a candidate is compared with, or why it is not compared.

    Attributes:
        version: the deployed version; None if no other model is served.
        problem: why it cannot be compared with, as the end of a sentence; empty if it can.
        set_aside: why a person set the comparison aside; empty if nobody did.
    """

    version: Optional[str] = None
    problem: str = ""
    set_aside: str = ""

    @property
    def is_made(self) -> bool:
        """Whether the deployed model is evaluated beside the candidate."""
        return self.version is not None and not self.problem and not self.set_aside


def make(
    evaluation: str,
    criteria: Criteria,
    labels: Sequence[Label],
    comparison: Comparison,
    serving: Report = NOTHING_FOUND,
) -> dict[str, Any]:
    """Makes the verdict from the metrics that TFMA has computed.

    Args:
        evaluation: directory of the evaluation artifact.
        criteria: metrics, bounds and slices.
        labels: labels of the candidate.
        comparison: the comparison; if it `is_made`, TFMA has evaluated the baseline too.
        serving: the serving check's report on the candidate.

    Returns:
        The verdict as JSON values: `blessed`; `lines`, each with `passed` and `text`, for every
        finding, every bound, and every slice that fails one; `notes`; `baseline`, the attributes of
        the comparison; `examples`, their number; `metrics` and `baseline_metrics` by slice and
        name, for labels after the first with the label's column as prefix (`waterfront/auc`).
    """
    # Metrics without a label, such as the number of examples, have no output name.
    outputs = {"": "", **dict(zip((label.name for label in labels), prefixes(labels)))}
    # TFMA drops the name of a single model.
    candidate = _values(evaluation, CANDIDATE if comparison.is_made else "", outputs)
    wrong = _row_findings(evaluation, CANDIDATE if comparison.is_made else "")
    baseline = None
    if comparison.is_made:
        if wrong_with_it := _row_findings(evaluation, BASELINE):
            # Metrics of invalid predictions cannot serve as a baseline.
            problem = f"cannot be scored: {wrong_with_it[0]}"
            comparison = dataclasses.replace(comparison, problem=problem)
        else:
            baseline = _values(evaluation, BASELINE, outputs)
    keys = {part.key for part in criteria.slices if part.gated}

    lines = [_line(False, text) for text in (*serving.findings, *wrong)]
    for bound in criteria.bounds:
        lines += _absolute_lines(bound, candidate[_OVERALL])
        if baseline is not None and bound.may_worsen_by is not None:
            slices = sorted(part for part in candidate if part and part[0] in keys)
            lines += _change_lines(bound, slices, candidate, baseline)
    note = _comparison_note(comparison)
    notes = [*serving.notes]
    compares = any(bound.may_worsen_by is not None for bound in criteria.bounds)
    if compares and comparison.problem and not comparison.set_aside:
        lines.append(_line(False, f"{note}; {_ACCEPT}"))
    elif note:
        notes.append(note)
    if not criteria.bounds:
        lines.append(_line(False, "gates: never, so no model is blessed, whatever it is worth"))
        notes.append(_metrics_note(criteria.metrics[labels[0].name], candidate[_OVERALL]))
    if COVERAGE in candidate[_OVERALL] and not any(
        bound.metric == COVERAGE and bound.absolute is not None for bound in criteria.bounds
    ):
        notes.append(_coverage_note(labels[0], candidate[_OVERALL]))
    return {
        # Without a line nothing was judged.
        "blessed": bool(lines) and all(line["passed"] for line in lines),
        "lines": lines,
        "notes": notes,
        "baseline": dataclasses.asdict(comparison),
        "examples": int(candidate[_OVERALL]["example_count"]),
        "metrics": _by_name(candidate),
        "baseline_metrics": _by_name(baseline) if baseline else None,
    }


def _metrics_note(names: Sequence[str], values: dict[str, float]) -> str:
    return "on the test split: " + ", ".join(f"{name} {number(values[name])}" for name in names)


def unscored(serving: Report) -> dict[str, Any]:
    """Returns the verdict on a model that gives no predictions to score."""
    return {
        "blessed": False,
        "lines": [_line(False, text) for text in serving.findings],
        "notes": [*serving.notes, "No metric was computed, and no bound was looked at."],
        "baseline": dataclasses.asdict(Comparison()),
        "examples": 0,
        "metrics": {},
        "baseline_metrics": None,
    }


def _comparison_note(comparison: Comparison) -> str:
    """Returns why there is no comparison; empty if there is one."""
    if comparison.version is None:
        return "No other model is deployed: only the absolute bounds apply."
    deployed = f"The deployed model (version {comparison.version})"
    problem = f"{deployed} cannot be compared with: it {comparison.problem}"
    if comparison.set_aside:
        note = f"{deployed} was set aside, only the absolute bounds apply: {comparison.set_aside}"
        return f"{note}. {problem}." if comparison.problem else note
    return problem if comparison.problem else ""


def _coverage_note(label: Label, values: dict[str, float]) -> str:
    share = f"{100 * (label.interval or 0.0):.4g}%"
    covered, width = values[COVERAGE], values[INTERVAL_WIDTH]
    return f"{share} intervals cover {covered:.1%} of the test split; mean width {number(width)}"


def _absolute_lines(bound: Bound, values: dict[str, float]) -> list[dict[str, Any]]:
    """Returns a line on the absolute bound and one on the constant predictor, as they apply."""
    # Whatever the bound, a model must beat a constant.
    value, reached = values.get(bound.metric, math.nan), bound.definition.reached_by_constant
    lines, rule = [], ""
    if reached is not None and (bound.absolute is None or bound.absolute <= reached):
        rule = f"above {number(reached)}, which a constant predictor reaches"
    elif bound.absolute is not None:
        rule = f"at {'most' if bound.lower_is_better else 'least'} {number(bound.absolute)}"
    if rule:
        text = f"{bound.title} is {number(value)}; it must be {rule}"
        lines.append(_line(_is_met(bound, value), text))
    if bound.definition.constant_sums:
        names = (bound.prefix + name for name in bound.definition.names)
        _, constant, gain = (values.get(name, math.nan) for name in names)
        passed = gain >= SMALLEST_GAIN
        text = f"{bound.title} of a constant predictor is {number(constant)}"
        rule = f"the model {'is' if passed else 'is not'} better than that"
        if bound.lower_is_better and passed:
            rule += f" ({gain:.0%} of its error removed)"
        lines.append(_line(passed, f"{text}; {rule}"))
    return lines


def _is_met(bound: Bound, value: float) -> bool:
    """Returns whether a value meets the absolute bound and what every constant reaches.

    NaN, the value of a metric that could not be computed, meets nothing.
    """
    reached = bound.definition.reached_by_constant
    limits = (bound.absolute, None if reached is None else reached + SMALLEST_GAIN)
    sign = 1 if bound.lower_is_better else -1
    return all(sign * value <= sign * limit for limit in limits if limit is not None)


def _worsened(bound: Bound, value: float, before: float) -> bool:
    """Returns whether a metric is worse than the baseline's by more than the bound allows.

    The bound of an error is a share of the baseline's value. A score may be zero or negative, where
    a share is meaningless, so its bound is an absolute difference. NaN is always worse.
    """
    if bound.lower_is_better:
        allowed = value <= before * (1 + (bound.may_worsen_by or 0.0))
    else:
        allowed = value >= before - (bound.may_worsen_by or 0.0)
    return not allowed


def _is_refused(bound: Bound, part: tuple, value: float, before: float) -> bool:
    """Returns whether a change bound is violated or cannot be checked.

    A slice where the metric is undefined for both models, as the AUC is when all labels are equal,
    is not held against the candidate.
    """
    if part and not math.isfinite(value) and not math.isfinite(before):
        return False
    return not math.isfinite(before) or _worsened(bound, value, before)


def _change_lines(bound: Bound, slices: list[tuple], candidate, baseline) -> list[dict[str, Any]]:
    """Returns a line for the whole split, and one per failed slice or, if none failed, for all."""
    may_worsen_by = bound.may_worsen_by or 0.0
    if bound.lower_is_better:
        rule = f"it may rise by {may_worsen_by:.1%}"
    else:
        rule = f"it may fall by {number(may_worsen_by)}"
    refused = {
        part: _is_refused(
            bound,
            part,
            candidate[part][bound.metric],
            baseline.get(part, {}).get(bound.metric, math.nan),
        )
        for part in [_OVERALL, *slices]
    }
    if not math.isfinite(baseline[_OVERALL].get(bound.metric, math.nan)):
        slices = []  # one line says it all
    failures = [part for part in slices if refused[part]]
    lines = []
    for part in [_OVERALL, *failures]:
        value = candidate[part][bound.metric]
        before = baseline.get(part, {}).get(bound.metric, math.nan)
        where = ""
        if part:
            column = Slice.of_key(part[0]).column
            examples = int(candidate[part]["example_count"])
            where = f" where {column} is {part[1]} ({examples} examples)"
        compared = f"{number(value)}, the baseline's is {number(before)}"
        if not math.isfinite(before):
            compared = f"{number(value)}, the baseline has none to compare with"
        elif bound.lower_is_better and before:
            compared += f" ({value / before - 1:+.1%})"
        accept = "" if math.isfinite(before) else f"; {_ACCEPT}"
        text = f"{bound.title}{where} is {compared}; {rule}{accept}"
        lines.append(_line(not refused[part], text))
    if slices and not failures:
        text = f"{bound.title} on each of {len(slices)} slices, beside the baseline's; {rule}"
        lines.append(_line(True, text))
    return lines


def _line(passed: bool, text: str) -> dict[str, Any]:
    return {"passed": bool(passed), "text": text}


def number(value: float) -> str:
    """Formats the value of a metric: 118,233 or 0.1583."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _values(evaluation: str, model: str, outputs: dict[str, str]) -> dict[tuple, dict[str, float]]:
    """Reads metrics by slice, () or (column, value); `outputs` has the prefix of each output."""
    result = tfma.load_eval_result(evaluation, model_name=model)
    values = {}
    for slice_key, by_output in result.slicing_metrics:
        part = tuple(str(x) for pair in slice_key for x in pair)
        values[part] = {
            prefix + name: float(value["doubleValue"])  # JSON has no NaN: there it is text
            for output, prefix in outputs.items()
            for name, value in by_output[output][""].items()
            if "doubleValue" in value
        }
    return values


def _row_findings(evaluation: str, model: str) -> list[str]:
    """Reads the findings on a model's predictions, as sentences."""
    result = tfma.load_eval_result(evaluation, model_name=model)
    (overall,) = (by_output[""][""] for part, by_output in result.slicing_metrics if not part)
    total = int(overall["example_count"]["doubleValue"])
    findings = json.loads(base64.b64decode(overall["row_findings"]["bytesValue"]))
    return [Finding(*fields).sentence(total) for fields in findings]


def _by_name(values: dict[tuple, dict[str, float]]) -> dict[str, dict[str, float | None]]:
    """Returns metrics by slice name, `overall` or `column: value`; NaN becomes None for JSON."""
    return {
        ": ".join(part) or "overall": {
            name: None if math.isnan(value) else value for name, value in metrics.items()
        }
        for part, metrics in values.items()
    }
