"""Checks of an export's answers, which must agree however it is called."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from components.serving_check.report import Report
from models.features.label import Label
from models.toolbox import heads

TOLERANCE = 1e-5
"""Relative tolerance: the order of summation depends on the size of a batch."""

_CLASSIFY = "tensorflow/serving/classify"
_REGRESS = "tensorflow/serving/regress"
_DEFAULT = "serving_default"
_ELSEWHERE = "In a process that has only TensorFlow, the model"
_MANY = 2
"""Maximum number of findings of one kind to report."""

Batch = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sample:
    """The examples that the export was called with.

    Attributes:
        count: number of examples.
        alone: how many of them, from the end, were also sent one by one.
        describe: function that describes the row with an index.
    """

    count: int
    alone: int
    describe: Callable[[int], str]


def check(answer: Mapping[str, Any], labels: Sequence[Label], sample: Sample) -> Report:
    """Checks the answer of a fresh process, and returns the report.

    Args:
        answer: answer of the process, see `program`.
        labels: labels of the export.
        sample: the examples that were sent.
    """
    findings = []
    if failure := answer["failure"]:
        findings.append(f"{_ELSEWHERE} cannot {failure['doing']}: {failure['message']}")
    notes = [
        f"The signature {name} takes no serialized examples, so it was not compared with predict."
        for name in answer["not_asked"]
    ]
    if not answer["answers"]:
        return Report(tuple(findings), tuple(notes), not findings)
    asked = {
        way: [_arrays(batch) for batch in batches] for way, batches in answer["answers"].items()
    }
    together = asked["together"][0]
    missing = _missing(together, labels)
    findings += missing or _ways(asked, sample)
    if not missing:
        for name, (batch,) in answer["signatures"].items():
            method = answer["methods"].get(name, "")
            same = _same_question(_arrays(batch), method, together, labels)
            if not same and name == _DEFAULT:
                same = _by_another_name(_arrays(batch), together, labels)
            findings += _disagreement(f"between the signatures predict and {name}", same, sample)
            if not same:
                notes.append(
                    f"The signature {name} has none of predict's outputs, so it was not checked."
                )
    return Report(tuple(findings), tuple(notes), not missing)


def no_answer(reason: str) -> Report:
    """Returns the report on an export that gave no answer.

    Args:
        reason: what the model did instead, as the end of a sentence.
    """
    return Report((f"{_ELSEWHERE} {reason}",), (), False)


def _arrays(batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {
        name: np.array(output["values"]).reshape(output["shape"]) for name, output in batch.items()
    }


def _missing(outputs: Batch, labels: Sequence[Label]) -> list[str]:
    """Returns a finding for each output that the Evaluator scores and `predict` lacks."""
    return [
        f"The signature predict has no output {prefix}{name}; it has {', '.join(sorted(outputs))}"
        for label, prefix in zip(labels, heads.prefixes(labels))
        for name in heads.scored_outputs(label)
        if prefix + name not in outputs
    ]


def _ways(asked: Mapping[str, list[dict[str, np.ndarray]]], sample: Sample) -> list[str]:
    """Compares other ways of calling `predict` with one call for all examples."""
    together = asked["together"][0]
    alone = range(sample.count - sample.alone, sample.count)
    ways = [
        ("again", "when the same batch is sent twice", range(sample.count)),
        ("alone", "between a row in a batch and the same row alone", alone),
        (
            "among_others",
            "between a row in one batch and the same row in another",
            range(sample.count)[::-3],
        ),
        ("last", "when the same batch is sent again later", range(sample.count)),
    ]
    findings: list[str] = []
    for way, when, rows in ways:
        if way in asked:
            batch = {name: _joined([answer[name] for answer in asked[way]]) for name in together}
            pairs = {name: (together[name], batch[name], name) for name in together}
            findings += _disagreement(when, pairs, sample, rows)
    return list(dict.fromkeys(findings))[:_MANY]


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Concatenates the answers of several batches; returns a single one unchanged."""
    if len(arrays) == 1:
        return arrays[0]
    rows = [array.reshape(max(len(array), 1), -1) for array in map(np.atleast_1d, arrays)]
    width = min(row.shape[1] for row in rows)
    # If widths differ, the shape differs from the one-batch answer, which becomes a finding.
    return np.concatenate([row[:, :width] for row in rows])


def _same_question(
    outputs: Batch, method: str, predict: Batch, labels: Sequence[Label]
) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    """Pairs the outputs of another signature with the same outputs of `predict`.

    The outputs of TensorFlow Serving's Classify and Regress have names of their own.

    Returns:
        (`predict`'s output, the signature's output, its name in `predict`) by the signature's name
        for the output.
    """
    scored = heads.scored_outputs(labels[0])[0]
    values = predict[scored]
    if method == _REGRESS:
        return {"outputs": (values, outputs["outputs"], scored)} if "outputs" in outputs else {}
    if method == _CLASSIFY:
        if "scores" not in outputs or labels[0].task == "regression":
            return {}
        if scored == heads.LOGISTIC:
            values = np.concatenate([1 - values, values], axis=1) if values.ndim == 2 else values
        return {"scores": (values, _by_class(outputs, labels[0]), scored)}
    return {name: (predict[name], outputs[name], name) for name in outputs if name in predict}


def _by_another_name(
    outputs: Batch, predict: Batch, labels: Sequence[Label]
) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    """Pairs the only output of the default signature, whatever its name, with the scored one."""
    scored = heads.scored_outputs(labels[0])[0]
    values = predict[scored]
    return {
        name: (values, output, scored)
        for name, output in outputs.items()
        if len(outputs) == 1 and output.dtype.kind == "f" and output.size == values.size
    }


def _by_class(outputs: Batch, label: Label) -> np.ndarray:
    """Returns Classify's scores in the order of the label's classes, if it names its classes."""
    scores, classes = outputs["scores"], outputs.get("classes")
    if classes is None or classes.shape != scores.shape or classes.ndim != 2:
        return scores
    order = np.argsort(classes, axis=1)
    ranked = np.take_along_axis(classes, order, axis=1)
    expected = np.sort(np.array(label.classes))
    if ranked.shape[1] != len(expected) or not (ranked == expected).all():
        return scores
    ranks = np.argsort(np.argsort(np.array(label.classes)))
    return np.take_along_axis(scores, order, axis=1)[:, ranks]


def _disagreement(
    when: str,
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray, str]],
    sample: Sample,
    rows: Sequence[int] | range | None = None,
) -> list[str]:
    """Returns a finding for the first output that differs; at most one.

    Args:
        when: which two answers are compared, as the words after `differs`.
        pairs: by output: the array for all examples, the one to compare, the name in `predict`.
        sample: the examples that were sent.
        rows: indices of the examples in the array to compare; all if None.
    """
    indices = np.arange(sample.count) if rows is None else np.array(rows)
    for name, (first, second, known) in pairs.items():
        title, end = (name, "s") if name == known else (f"{known} and {name}", "")
        for array, count in ((first, sample.count), (second, len(indices))):
            if not array.shape or array.shape[0] != count:
                return [
                    f"{title} has the shape {list(array.shape)} for {count} examples; expected "
                    f"{count} rows"
                ]
        one, other = first[indices], second
        if one.size != other.size:
            return [
                f"{title} differ{end} {when}: the shapes are {list(one.shape)} and "
                f"{list(other.shape)}"
            ]
        differs = _differs(one, other.reshape(one.shape), first)
        if differs.any():
            row = int(np.flatnonzero(differs)[0])
            return [
                f"{title} differ{end} {when} in {differs.sum()} of {len(indices)} "
                f"rows: {_shown(one[row])} and {_shown(other[row])} where "
                f"{sample.describe(int(indices[row]))}"
            ]
    return []


def _differs(one: np.ndarray, other: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Returns a mask of the rows that differ by more than rounding.

    Rounding errors scale with the terms that a prediction is summed from, so values near zero are
    compared relative to the mean magnitude of all values.
    """
    one, other = one.reshape(len(one), -1), other.reshape(len(other), -1)
    if one.dtype.kind != "f" or other.dtype.kind != "f":
        return (one.astype(str) != other.astype(str)).any(axis=1)
    finite = np.abs(whole[np.isfinite(whole)])
    scale = np.maximum(np.abs(one), np.abs(other))
    scale = np.maximum(scale, finite.mean() if finite.size else 0.0)
    with np.errstate(invalid="ignore"):
        close = np.abs(one - other) <= TOLERANCE * scale
    return ~(close | (one == other) | (np.isnan(one) & np.isnan(other))).all(axis=1)


def _shown(values: np.ndarray) -> str:
    texts = [
        f"{value:.7g}" if isinstance(value, float) else str(value)
        for value in np.ravel(values).tolist()
    ]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts[:5] + ['…'] * (len(texts) > 5))}]"
