"""Labels of a problem, with what the training split says about them: scale and classes."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_transform as tft
from etils import epath

from models.errors import UserError
from models.features import preprocessing
from models.settings.column_settings import LabelSettings

FILE_NAME = "label.json"
"""Name of the file in an export's `assets.extra/` that describes its labels."""

BALANCED = "balanced"


@dataclasses.dataclass(frozen=True)
class Label:
    """Label of a problem, with its statistics in the training split.

    Attributes:
        name: the label's column.
        task: regression, binary or multiclass.
        log: whether the model learns log(1 + label) (regression).
        mean, deviation: mean and standard deviation of the label (regression).
        log_mean, log_deviation: mean and standard deviation of log(1 + label) (regression).
        median: median of the label (regression).
        classes: the classes in ascending order; a binary label's second is the positive one.
        frequencies: share of each class in the training split.
        interval: share of the labels that prediction intervals should cover; None for predictions
            without an interval (regression).
        calibration: how far each end of the interval is moved outward after training, in units of
            the training targets.
        class_weights: loss weight of each class; empty if all classes weigh the same.
    """

    name: str
    task: str
    log: bool = False
    mean: float = math.nan
    deviation: float = math.nan
    log_mean: float = math.nan
    log_deviation: float = math.nan
    median: float = math.nan
    classes: tuple[str, ...] = ()
    frequencies: tuple[float, ...] = ()
    interval: float | None = None
    calibration: float = 0.0
    class_weights: tuple[float, ...] = ()

    @classmethod
    def of_export(cls, export: str) -> "Label":
        """Reads the first label of an exported model; `export` is a SavedModel's directory."""
        return labels_of_export(export)[0]


def labels_of_export(export: str) -> tuple[Label, ...]:
    """Reads all labels of an exported model, in order; `export` is a SavedModel's directory."""
    return from_json((epath.Path(export) / "assets.extra" / FILE_NAME).read_text())


def to_json(labels: Sequence[Label]) -> str:
    """Serializes labels as the content of `FILE_NAME`; `from_json` reads it."""
    return json.dumps({"labels": [dataclasses.asdict(label) for label in labels]}, indent=2)


def from_json(text: str) -> tuple[Label, ...]:
    """Reads the labels from the text that `to_json` returned."""
    labels = []
    for fields in json.loads(text)["labels"]:
        for name in ("classes", "frequencies", "class_weights"):
            fields[name] = tuple(fields[name])
        labels.append(Label(**fields))
    return tuple(labels)


def from_transform(
    settings: LabelSettings,
    index: int,
    transform_output: tft.TFTransformOutput,
    transformed_files: Sequence[str],
) -> Label:
    """Reads a label's statistics from Transform's output.

    Args:
        settings: the label's settings.
        index: position among the labels; 0 is the configuration's `label`.
        transform_output: Transform's output, with the class vocabulary.
        transformed_files: files of the train split; every row holds the regression statistics.

    Raises:
        UserError: the label cannot be learned: it is constant, has too few or too many classes, or
            mixes nan or inf with numeric classes; `log_label` is true although there are negative
            values; or `class_weights` names an unknown class.
    """
    name, task = settings.name, settings.task
    if task == "regression":
        label = _of_numbers(name, settings.log_label, index, transformed_files)
        return dataclasses.replace(label, interval=settings.interval)
    path = transform_output.vocabulary_file_by_name(preprocessing.classes_name(index))
    counts = {}
    with tf.io.gfile.GFile(path) as lines:
        for line in lines:
            count, value = line.rstrip("\n").split(" ", 1)
            counts[_unescaped(value)] = int(count)
    if len(counts) < 2 or (task == "binary" and len(counts) != 2):
        expected = "2" if task == "binary" else "at least 2"
        raise UserError(
            f"label {name}: found {len(counts)} classes ({', '.join(sorted(counts)[:5])}), "
            f"expected {expected} for task {task}"
        )
    classes = tuple(sorted(counts, key=_natural_order))
    odd = [value for value in classes if value.lstrip("-") in ("nan", "inf")]
    if odd and all(_natural_order(value)[0] == 0 for value in classes if value not in odd):
        raise UserError(
            f"label {name}: found {odd[0]} in {counts[odd[0]]:,} rows of the train split, among "
            "classes that are numbers; remove the rows or fill them in"
        )
    total = sum(counts.values())
    frequencies = tuple(counts[value] / total for value in classes)
    weights = _class_weights(name, settings.class_weights, classes, frequencies)
    return Label(name, task, classes=classes, frequencies=frequencies, class_weights=weights)


def _unescaped(value: str) -> str:
    """Restores the line ends that `preprocessing` escapes in the vocabulary of classes."""
    return re.sub(r"\\(.)", lambda match: _ESCAPED.get(match[1], match[1]), value)


_ESCAPED = {"n": "\n", "r": "\r"}


def _class_weights(
    name: str,
    weights: str | Mapping[str, float] | None,
    classes: Sequence[str],
    frequencies: Sequence[float],
) -> tuple[float, ...]:
    if not weights:
        return ()
    if weights == BALANCED:
        return tuple(1 / (len(classes) * share) for share in frequencies)
    assert not isinstance(weights, str)
    for value in weights:
        if value not in classes:
            raise UserError(
                f"class_weights: label {name} has no class {value!r}; the train split has "
                f"{', '.join(classes)}"
            )
    return tuple(float(weights.get(value, 1.0)) for value in classes)


def _natural_order(value: str) -> tuple:
    """Returns a sort key: numbers by value, then text, so that class 10 follows class 9."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    return (0, number, value) if math.isfinite(number) else (1, 0.0, value)


def _of_numbers(name: str, log: bool | None, index: int, files: Sequence[str]) -> Label:
    statistics = preprocessing.statistics_name(index)
    record = next(iter(tf.data.TFRecordDataset(list(files), "GZIP")))
    row = tf.io.parse_single_example(record, {statistics: tf.io.FixedLenFeature([6], tf.float32)})[
        statistics
    ]
    mean, deviation, log_mean, log_deviation, median, low = (float(value) for value in row)
    # In single precision even a constant label deviates in its seventh digit.
    if not deviation > 1e-6 * abs(mean):
        raise UserError(
            f"label {name}: is {mean:g} in every row of the train split, or varies by less than a "
            "millionth of it, which 32-bit floats do not tell apart; there is nothing to learn"
        )
    if log and low < 0:
        raise UserError(f"label {name}: found {low:g}; log_label: true needs labels from zero up")
    if log is None:
        log = low >= 0 and _is_skewed(mean, deviation, median)
    return Label(name, "regression", log, mean, deviation, log_mean, log_deviation, median)


def _is_skewed(mean: float, deviation: float, median: float) -> bool:
    """Returns whether the median is positive and Pearson's second skewness coefficient > 0.5."""
    return median > 0 and 3 * (mean - median) / deviation > 0.5
