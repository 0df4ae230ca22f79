"""Checks of a model's outputs, row by row: each row must have a prediction, and a plausible one.

Metrics can hide such errors: a mean over many good rows and a few impossible ones may still be
within its bound, and an output that is not scored, such as `classes`, has no metric at all.
"""

import dataclasses
import itertools
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from models.features.label import Label
from models.toolbox import heads

CLASS_IDS = "class_ids"
"""The output of TensorFlow's own heads with the index of the likeliest class."""

_SUM_TOLERANCE = 1e-3
_TIE = 1e-4
"""Classes whose probabilities differ by less count as equally likely."""
_ROUNDING = 1e-5
"""Tolerance for the ends of an interval, relative to the prediction."""


@dataclasses.dataclass(frozen=True, order=True)
class Finding:
    """A problem with an output.

    Attributes:
        what: the violation, as `probabilities do not sum to 1`.
        rows: number of affected rows.
        example: the values in one of these rows, and which row it is.
    """

    what: str
    rows: int
    example: str

    def sentence(self, total: int) -> str:
        """Returns the finding as a line of a verdict on `total` rows."""
        return f"{self.what} in {self.rows:,} of {total:,} rows: {self.example}"


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """Merges findings of the same violation; the result does not depend on their order."""
    by_rule = operator.attrgetter("what")
    return [
        Finding(
            what, sum(finding.rows for finding in same), min(finding.example for finding in same)
        )
        for what, group in itertools.groupby(sorted(findings, key=by_rule), by_rule)
        if (same := list(group))
    ]


def check(
    outputs: Mapping[str, np.ndarray],
    labels: Sequence[Label],
    rows: int,
    describe: Callable[[int], str],
) -> tuple[dict[str, np.ndarray], list[Finding]]:
    """Checks a model's outputs for a batch.

    Args:
        outputs: outputs of the signature `predict`, by name.
        labels: labels of the model.
        rows: number of rows in the batch.
        describe: function that describes the row with an index.

    Returns:
        The outputs that are scored, each of shape [rows, width], with NaN in the rows that violate
        a rule; and the findings.
    """
    scored: dict[str, np.ndarray] = {}
    findings: list[Finding] = []
    for label, prefix in zip(labels, heads.prefixes(labels)):
        batch = _Batch(outputs, prefix, rows, describe)
        arrays = _values(batch) if label.task == "regression" else _classes(batch, label)
        for name in heads.scored_outputs(label):
            array = arrays[name]
            scored[prefix + name] = batch.nothing(name, label) if array is None else array
        findings += batch.findings
    return scored, findings


class _Batch:
    """The outputs of one label for a batch, and the findings on them."""

    def __init__(
        self,
        outputs: Mapping[str, np.ndarray],
        prefix: str,
        rows: int,
        describe: Callable[[int], str],
    ):
        self._outputs = outputs
        self._prefix = prefix
        self._rows = rows
        self._describe = describe
        self.findings: list[Finding] = []

    def numbers(self, name: str, width: int) -> np.ndarray | None:
        """Returns a [rows, width] output, NaN in rows that are not finite; None if missing."""
        array = self._of_shape(name, width)
        if array is None:
            return None
        if array.dtype.kind not in "fiu":
            if array.dtype.kind != "V":
                self._refuse_all(name, "is not a number", f"it is {array.dtype}")
            return np.full((self._rows, width), np.nan)
        finite = np.isfinite(array).all(axis=1)
        self.refuse(~finite, f"{name} is not a finite number", array)
        return np.where(finite[:, np.newaxis], array, np.nan)

    def texts(self, name: str) -> np.ndarray | None:
        """Returns an output of shape [rows] as text; None if missing or not one value per row."""
        array = self._of_shape(name, 1)
        if array is None or array.dtype.kind == "V":
            return None
        return np.array([_text(value) for value in array[:, 0].tolist()], dtype=object)

    def refuse(self, wrong: np.ndarray, what: str, *arrays: np.ndarray) -> None:
        """Adds a finding if any row is `wrong`, with the values that `arrays` have in the first."""
        if wrong.any():
            row = int(np.argmax(wrong))
            values = " and ".join(_shown(array[row]) for array in arrays)
            example = f"{values} where {self._describe(row)}"
            self.findings.append(Finding(self._prefix + what, int(wrong.sum()), example))

    def nothing(self, name: str, label: Label) -> np.ndarray:
        """Adds the finding that an output is missing; returns NaN in its shape."""
        detail = f"it has {', '.join(sorted(self._outputs))}" if self._outputs else "it has none"
        self._refuse_all(name, "is not an output of the signature predict", detail)
        width = len(label.classes) if name == heads.PROBABILITIES else 1
        return np.full((self._rows, width), np.nan)

    def _refuse_all(self, name: str, what: str, detail: str) -> None:
        self.findings.append(Finding(f"{self._prefix}{name} {what}", self._rows, detail))

    def _of_shape(self, name: str, width: int) -> np.ndarray | None:
        """Returns an output, with dtype kind "V" if it is not [rows, width]; None if missing."""
        array = self._outputs.get(self._prefix + name)
        if array is None or array.shape == (self._rows, width):
            return array
        detail = f"its shape is {list(array.shape)} for {self._rows} rows"
        self._refuse_all(name, f"is not of the shape [rows, {width}]", detail)
        return np.empty((self._rows, width), dtype="V1")


def _values(batch: _Batch) -> dict[str, np.ndarray | None]:
    """Checks predicted values, and that they lie within their intervals if there are any."""
    values, lower, upper = (
        batch.numbers(name, 1) for name in (heads.PREDICTIONS, heads.LOWER, heads.UPPER)
    )
    if values is not None and lower is not None and upper is not None:
        with np.errstate(invalid="ignore"):  # NaN has its own finding already
            slack = _ROUNDING * np.abs(values)
            wrong = ((lower > values + slack) | (values > upper + slack))[:, 0]
        what = "lower, predictions and upper are not in ascending order"
        batch.refuse(wrong, what, lower, values, upper)
        lower, upper = (np.where(wrong[:, np.newaxis], np.nan, end) for end in (lower, upper))
    return {heads.PREDICTIONS: values, heads.LOWER: lower, heads.UPPER: upper}


def _classes(batch: _Batch, label: Label) -> dict[str, np.ndarray | None]:
    """Checks the probabilities of the classes, and the likeliest class by name and by index."""
    logistic = _probabilities(batch, heads.LOGISTIC, 1) if label.task == "binary" else None
    probabilities = _probabilities(batch, heads.PROBABILITIES, len(label.classes))
    by_class = probabilities
    if probabilities is not None:
        sums = probabilities.sum(axis=1)
        wrong = np.abs(sums - 1) > _SUM_TOLERANCE
        batch.refuse(wrong, f"{heads.PROBABILITIES} do not sum to 1", probabilities)
        probabilities = np.where(wrong[:, np.newaxis], np.nan, probabilities)
    if logistic is not None:
        by_class = np.concatenate([1 - logistic, logistic], axis=1)
        if probabilities is not None:
            wrong = np.abs(probabilities[:, 1:] - logistic)[:, 0] > _SUM_TOLERANCE
            what = f"{heads.LOGISTIC} is not the probability of {label.classes[1]}"
            batch.refuse(wrong, what, logistic, probabilities)
    if by_class is not None:
        class_ids = [str(index) for index in range(len(label.classes))]
        _likeliest(batch, heads.CLASSES, label.classes, by_class)
        _likeliest(batch, CLASS_IDS, class_ids, by_class)
    return {heads.LOGISTIC: logistic, heads.PROBABILITIES: probabilities}


def _probabilities(batch: _Batch, name: str, width: int) -> np.ndarray | None:
    """Returns an output of probabilities, NaN in rows with a value outside [0, 1]."""
    array = batch.numbers(name, width)
    if array is None:
        return None
    wrong = ((array < 0) | (array > 1)).any(axis=1)
    batch.refuse(wrong, f"{name} is not from 0 to 1", array)
    return np.where(wrong[:, np.newaxis], np.nan, array)


def _likeliest(batch: _Batch, name: str, classes: Sequence[str], by_class: np.ndarray) -> None:
    """Checks an output that names the likeliest class of each row."""
    texts = batch.texts(name)
    if texts is None:
        return
    values, inverse = np.unique(texts, return_inverse=True)
    indices = {value: index for index, value in enumerate(classes)}
    chosen = np.array([indices.get(value, -1) for value in values])[inverse]
    known = ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")
    batch.refuse(chosen < 0, f"{name} is none of {known}", texts)
    # Rows without valid probabilities have their own finding already.
    likelihood = by_class[np.arange(len(by_class)), np.maximum(chosen, 0)]
    with np.errstate(invalid="ignore"):
        wrong = (chosen >= 0) & (likelihood < by_class.max(axis=1) - _TIE)
    batch.refuse(wrong, f"{name} is not the likeliest class", texts, by_class)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _shown(values: Any) -> str:
    texts = [
        f"{value:.6g}" if isinstance(value, float) else repr(value)
        for value in np.ravel(values).tolist()
    ]
    return texts[0] if len(texts) == 1 else f"[{', '.join(texts[:5] + ['…'] * (len(texts) > 5))}]"
