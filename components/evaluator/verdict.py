"""The verdict of an evaluation: every bound, checked, and whether the model is blessed.

Only this module decides whether a model is blessed. TFMA computes metrics; `bound_checks` compares
them with the bounds, the constant predictor and the baseline.
"""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

from components.evaluator import bound_checks, tfma_results
from components.evaluator.bound_checks import Line, format_metric
from components.evaluator.comparison import ACCEPT, Comparison
from components.evaluator.criteria import Criteria
from components.evaluator.eval_config import BASELINE, CANDIDATE
from components.evaluator.metric_catalogue import COVERAGE, INTERVAL_WIDTH
from components.evaluator.tfma_results import OVERALL, Values
from components.serving_check.report import NOTHING_FOUND, Report
from models.features.label import Label
from models.toolbox.heads import prefixes


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
    name = CANDIDATE if comparison.is_made else ""
    candidate = tfma_results.metrics(evaluation, name, outputs)
    wrong = tfma_results.row_findings(evaluation, name)
    baseline = None
    if comparison.is_made:
        if wrong_with_it := tfma_results.row_findings(evaluation, BASELINE):
            # Metrics of invalid predictions cannot serve as a baseline.
            problem = f"cannot be scored: {wrong_with_it[0]}"
            comparison = dataclasses.replace(comparison, problem=problem)
        else:
            baseline = tfma_results.metrics(evaluation, BASELINE, outputs)

    lines = [Line(False, text) for text in (*serving.findings, *wrong)]
    lines += _bound_lines(criteria, candidate, baseline)
    notes = [*serving.notes]
    compares = any(bound.may_worsen_by is not None for bound in criteria.bounds)
    if compares and comparison.problem and not comparison.set_aside:
        lines.append(Line(False, f"{comparison.note}; {ACCEPT}"))
    elif comparison.note:
        notes.append(comparison.note)
    overall = candidate[OVERALL]
    if not criteria.bounds:
        text = "gates: never is set, so no model is blessed, however good it is"
        lines.append(Line(False, text))
        names = criteria.metrics[labels[0].name]
        values = ", ".join(f"{name} {format_metric(overall[name])}" for name in names)
        notes.append(f"On the test split: {values}")
    if COVERAGE in overall and not any(
        bound.metric == COVERAGE and bound.absolute is not None for bound in criteria.bounds
    ):
        notes.append(_coverage_note(labels[0], overall))
    return {
        # Without a line nothing was judged.
        "blessed": bool(lines) and all(line.passed for line in lines),
        "lines": _json(lines),
        "notes": notes,
        "baseline": dataclasses.asdict(comparison),
        "examples": int(overall["example_count"]),
        "metrics": tfma_results.by_name(candidate),
        "baseline_metrics": tfma_results.by_name(baseline) if baseline else None,
    }


def unscored(serving: Report) -> dict[str, Any]:
    """Returns the verdict on a model that gives no predictions to score."""
    return {
        "blessed": False,
        "lines": _json(Line(False, text) for text in serving.findings),
        "notes": [*serving.notes, "No metrics were computed, so no bounds were checked."],
        "baseline": dataclasses.asdict(Comparison()),
        "examples": 0,
        "metrics": {},
        "baseline_metrics": None,
    }


def _bound_lines(criteria: Criteria, candidate: Values, baseline: Values | None) -> list[Line]:
    keys = {part.key for part in criteria.slices if part.gated}
    slices = sorted(part for part in candidate if part and part[0] in keys)
    lines = []
    for bound in criteria.bounds:
        lines += bound_checks.absolute_lines(bound, candidate[OVERALL])
        if baseline is not None and bound.may_worsen_by is not None:
            lines += bound_checks.change_lines(bound, slices, candidate, baseline)
    return lines


def _coverage_note(label: Label, values: dict[str, float]) -> str:
    share = f"{100 * (label.interval or 0.0):.4g}%"
    covered, width = f"{values[COVERAGE]:.1%}", format_metric(values[INTERVAL_WIDTH])
    return f"{share} intervals contain {covered} of the test labels; their mean width is {width}"


def _json(lines: Iterable[Line]) -> list[dict[str, Any]]:
    return [{"passed": bool(line.passed), "text": line.text} for line in lines]
