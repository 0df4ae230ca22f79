"""What the training split says about the label: the scale of a target, the classes, a constant."""

import dataclasses
import json
import math
import pathlib

import tensorflow as tf
import tensorflow_transform as tft

from models import preprocessing

FILE_NAME = "label.json"
"""Its name in an export's `assets.extra/`: an exported model knows its own label."""


@dataclasses.dataclass(frozen=True)
class Label:
    """The label of a problem, with statistics of the training split.

    Attributes:
        name: the column.
        task: regression, binary or multiclass.
        log: whether a regression is learned on log(1 + label).
        mean, deviation: of the label (regression).
        log_mean, log_deviation: of log(1 + label) (regression).
        median: of the label (regression).
        classes: in rising order; of a binary label the second one is the positive one.
        frequencies: share of each class in the training split.
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

    def to_json(self) -> str:
        """As text, read back by `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Label":
        """The label written by `to_json`."""
        fields = json.loads(text)
        for name in ("classes", "frequencies"):
            fields[name] = tuple(fields[name])
        return cls(**fields)

    @classmethod
    def of_export(cls, export: str) -> "Label":
        """The label of an exported model (a SavedModel's directory)."""
        return cls.from_json((pathlib.Path(export) / "assets.extra" / FILE_NAME).read_text())


def from_transform(
    name: str,
    task: str,
    log: bool | None,
    transform_output: tft.TFTransformOutput,
    transformed_files: list[str],
) -> Label:
    """Reads the label's statistics from what Transform wrote.

    Args:
        name: the label's column.
        task: regression, binary or multiclass.
        log: learn on a log scale; None decides by the label's skew (see `_is_skewed`).
        transform_output: holds the class vocabulary.
        transformed_files: of the train split; any row holds the regression statistics.

    Raises:
        ValueError: the label cannot be learned: it is constant, or has too few or many classes.
    """
    if task == "regression":
        return _of_numbers(name, log, transformed_files)
    path = transform_output.vocabulary_file_by_name(preprocessing.CLASSES_VOCABULARY)
    counts = {}
    with tf.io.gfile.GFile(path) as lines:
        for line in lines:
            count, value = line.rstrip("\n").split(" ", 1)
            counts[value] = int(count)
    if len(counts) < 2 or (task == "binary" and len(counts) != 2):
        wanted = "2" if task == "binary" else "at least 2"
        raise ValueError(
            f"label {name}: found {len(counts)} classes ({', '.join(sorted(counts)[:5])}), "
            f"expected {wanted} for task {task}"
        )
    classes = tuple(sorted(counts, key=_natural_order))
    total = sum(counts.values())
    return Label(name, task, classes=classes, frequencies=tuple(counts[c] / total for c in classes))


def _natural_order(value: str) -> tuple:
    """Numbers by size and before text, so that class 10 follows class 9."""
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    return (0, number, value) if math.isfinite(number) else (1, 0.0, value)


def _of_numbers(name: str, log: bool | None, files: list[str]) -> Label:
    spec = {preprocessing.LABEL_STATISTICS: tf.io.FixedLenFeature([6], tf.float32)}
    record = next(iter(tf.data.TFRecordDataset(files, "GZIP")))
    row = tf.io.parse_single_example(record, spec)[preprocessing.LABEL_STATISTICS]
    mean, deviation, log_mean, log_deviation, median, low = (float(value) for value in row)
    # Single precision gives a constant label a deviation in its seventh digit.
    if not deviation > 1e-6 * abs(mean):
        raise ValueError(f"label {name}: is {mean:g} in every row; there is nothing to learn")
    if log and low < 0:
        raise ValueError(f"label {name}: found {low:g}; log_label: true needs labels from zero up")
    if log is None:
        log = low >= 0 and _is_skewed(mean, deviation, median)
    return Label(name, "regression", log, mean, deviation, log_mean, log_deviation, median)


def _is_skewed(mean: float, deviation: float, median: float) -> bool:
    """Pearson's second coefficient of skewness, above 0.5, of a label that is mostly not zero."""
    return median > 0 and 3 * (mean - median) / deviation > 0.5
