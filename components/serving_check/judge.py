"""Judges what a fresh process says of an export: does every way of asking give the same answer?"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from components.serving_check.report import Report
from models import heads
from models.label import Label

TOLERANCE = 1e-5
"""Relative: batches of other sizes are added up in another order."""

_CLASSIFY = "tensorflow/serving/classify"
_REGRESS = "tensorflow/serving/regress"
_DEFAULT = "serving_default"
_MANY = 2
"""Findings of one kind that are told."""

Batch = Mapping[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Sample:
    """The examples that were asked about.

    Attributes:
        count: how many.
        alone: how many of the last ones were asked about one by one too.
        describe: says which row one of them is.
    """

    count: int
    alone: int
    describe: Callable[[int], str]


def judge(answer: Mapping[str, Any], labels: Sequence[Label], sample: Sample) -> Report:
    """Makes the report of an answer.

    Args:
        answer: see `program`.
        labels: the export's.
        sample: what was asked.
    """
    findings = [*_python(answer["python"]), *_files(answer["files"])]
    failure = answer["failure"]
    if failure:
        findings.append(
            f"A process with nothing but TensorFlow cannot serve the model: it cannot "
            f"{failure['doing']}: {failure['message']}"
        )
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
                    f"The signature {name} has none of predict's outputs, so it was not judged."
                )
    return Report(tuple(findings), tuple(notes), not missing)


def no_answer(reason: str) -> Report:
    """The report of an export that gave no answer.

    Args:
        reason: what the process did instead.
    """
    text = f"A process with nothing but TensorFlow cannot serve the model: it {reason}"
    return Report((text,), (), False)


def _python(found: Sequence[Sequence[str]]) -> list[str]:
    return [
        f"The export calls a Python function ({op}, node {node}), which is only in the process "
        "that trained the model; write it with TensorFlow's own operations"
        for op, node in found[:_MANY]
    ]


def _files(found: Sequence[Sequence[str]]) -> list[str]:
    findings = []
    for op, node, path in found[:_MANY]:
        what = f"the file {path}" if path else "files"
        findings.append(
            f"The export works with {what} ({op}, node {node}), which no server has; keep the "
            "content in a constant, or the file in an asset (tf.saved_model.Asset)"
        )
    return findings


def _arrays(batch: Mapping[str, Any]) -> dict[str, np.ndarray]:
    return {
        name: np.array(output["values"]).reshape(output["shape"]) for name, output in batch.items()
    }


def _missing(outputs: Batch, labels: Sequence[Label]) -> list[str]:
    """What the Evaluator scores must be there."""
    return [
        f"The signature predict has no output {prefix}{name}; it has {', '.join(sorted(outputs))}"
        for label, prefix in zip(labels, heads.prefixes(labels))
        for name in heads.scored_outputs(label)
        if prefix + name not in outputs
    ]


def _ways(asked: Mapping[str, list[dict[str, np.ndarray]]], sample: Sample) -> list[str]:
    """Compares the ways of asking `predict` with all examples at once."""
    together = asked["together"][0]
    alone = range(sample.count - sample.alone, sample.count)
    ways = [
        ("again", "when the same batch is asked twice", range(sample.count)),
        ("alone", "between a row in a batch and the row alone", alone),
        ("among_others", "between a row in one batch and in another", range(sample.count)[::-3]),
        ("last", "when the same batch is asked again later", range(sample.count)),
    ]
    findings: list[str] = []
    for way, when, rows in ways:
        if way in asked:
            batch = {name: _joined([each[name] for each in asked[way]]) for name in together}
            pairs = {name: (together[name], batch[name], name) for name in together}
            findings += _disagreement(when, pairs, sample, rows)
    return list(dict.fromkeys(findings))[:_MANY]


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """The answers of some batches as those of one; a single one as it is."""
    if len(arrays) == 1:
        return arrays[0]
    rows = [array.reshape(max(len(array), 1), -1) for array in map(np.atleast_1d, arrays)]
    width = min(row.shape[1] for row in rows)
    # Of other widths they differ in shape from what is answered in a batch.
    return np.concatenate([row[:, :width] for row in rows])


def _same_question(
    outputs: Batch, method: str, predict: Batch, labels: Sequence[Label]
) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    """What another signature and `predict` both answer, by the signature's outputs.

    The signatures of TensorFlow Serving's Classify and Regress have outputs of their own names.
    """
    of_value = heads.scored_outputs(labels[0])[0]
    values = predict[of_value]
    if method == _REGRESS:
        return {"outputs": (values, outputs["outputs"], of_value)} if "outputs" in outputs else {}
    if method == _CLASSIFY:
        if "scores" not in outputs or labels[0].task == "regression":
            return {}
        if of_value == heads.LOGISTIC:
            values = np.concatenate([1 - values, values], axis=1) if values.ndim == 2 else values
        return {"scores": (values, _by_class(outputs, labels[0]), of_value)}
    return {name: (predict[name], outputs[name], name) for name in outputs if name in predict}


def _by_another_name(
    outputs: Batch, predict: Batch, labels: Sequence[Label]
) -> dict[str, tuple[np.ndarray, np.ndarray, str]]:
    """The only output of the default signature, whatever it is called, beside what is scored."""
    of_value = heads.scored_outputs(labels[0])[0]
    values = predict[of_value]
    return {
        name: (values, output, of_value)
        for name, output in outputs.items()
        if len(outputs) == 1 and output.dtype.kind == "f" and output.size == values.size
    }


def _by_class(outputs: Batch, label: Label) -> np.ndarray:
    """The scores of Classify in the order of the label's classes, where it names them."""
    scores, classes = outputs["scores"], outputs.get("classes")
    if classes is None or classes.shape != scores.shape or classes.ndim != 2:
        return scores
    order = np.argsort(classes, axis=1)
    ranked = np.take_along_axis(classes, order, axis=1)
    wanted = np.sort(np.array(label.classes))
    if ranked.shape[1] != len(wanted) or not (ranked == wanted).all():
        return scores
    places = np.argsort(np.argsort(np.array(label.classes)))
    return np.take_along_axis(scores, order, axis=1)[:, places]


def _disagreement(
    when: str,
    pairs: Mapping[str, tuple[np.ndarray, np.ndarray, str]],
    sample: Sample,
    rows: Sequence[int] | range | None = None,
) -> list[str]:
    """The first output that differs, as a finding.

    Args:
        when: which two answers are compared, behind `differs`.
        pairs: by output: of all examples, of some, and the name in `predict`.
        sample: what was asked.
        rows: the numbers of those some; all if None.
    """
    numbers = np.arange(sample.count) if rows is None else np.array(rows)
    for name, (first, second, known) in pairs.items():
        title = name if name == known else f"{known} and {name}"
        for array, count in ((first, sample.count), (second, len(numbers))):
            if not array.shape or array.shape[0] != count:
                return [
                    f"Asked about {count} examples, predict answers {title} of the shape "
                    f"{list(array.shape)}; expected one for each"
                ]
        one, other = first[numbers], second
        if one.size != other.size:
            return [
                f"{title} differs {when}: the shape is {list(one.shape)} and {list(other.shape)}"
            ]
        differs = _differs(one, other.reshape(one.shape), first)
        if differs.any():
            row = int(np.flatnonzero(differs)[0])
            return [
                f"{title} differs {when} in {differs.sum()} of {len(numbers)} "
                f"rows: {_shown(one[row])} and {_shown(other[row])} where "
                f"{sample.describe(int(numbers[row]))}"
            ]
    return []


def _differs(one: np.ndarray, other: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Which rows differ by more than rounding does.

    Rounding is relative to the values that a prediction is made of, so what is nearly zero is
    measured by the mean of all.
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
