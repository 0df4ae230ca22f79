"""TFMA's results in an evaluation artifact: metrics by slice, and findings on rows."""

import base64
import json
import math
from collections.abc import Mapping

import tensorflow_model_analysis as tfma

from components.evaluator.row_checks import Finding

OVERALL = ()
"""The key of the whole split; a slice has (column, value)."""

Values = dict[tuple[str, ...], dict[str, float]]
"""Metrics by slice and name."""


def metrics(evaluation: str, model: str, outputs: Mapping[str, str]) -> Values:
    """Reads the metrics of a model.

    Args:
        evaluation: directory of the evaluation artifact.
        model: name of the model; empty if only one was evaluated.
        outputs: prefix of the metrics' names for each output of the model.
    """
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


def row_findings(evaluation: str, model: str) -> list[str]:
    """Reads the findings on a model's predictions, as sentences; arguments as of `metrics`."""
    result = tfma.load_eval_result(evaluation, model_name=model)
    (overall,) = (by_output[""][""] for part, by_output in result.slicing_metrics if not part)
    total = int(overall["example_count"]["doubleValue"])
    findings = json.loads(base64.b64decode(overall["row_findings"]["bytesValue"]))
    return [Finding(*fields).sentence(total) for fields in findings]


def by_name(values: Values) -> dict[str, dict[str, float | None]]:
    """Returns metrics by slice name, `overall` or `column: value`; NaN becomes None for JSON."""
    return {
        ": ".join(part) or "overall": {
            name: None if math.isnan(value) else value for name, value in metrics.items()
        }
        for part, metrics in values.items()
    }
