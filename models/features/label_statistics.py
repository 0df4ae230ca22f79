"""Statistics of a label in the train split: scale or classes, computed by Transform and read back.

`outputs` builds Transform's graph; `from_transform` reads what it computed.
"""

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

import tensorflow as tf
import tensorflow_transform as tft

from models.errors import UserError
from models.features import packed_tensors, raw_columns, text_values
from models.features.label import Label
from models.settings.column_settings import LabelSettings

BALANCED = "balanced"


def outputs(index: int, name: str, task: str, column: tf.Tensor) -> dict[str, tf.Tensor]:
    """Builds the outputs of a label, and the analysis of its statistics or classes.

    Args:
        index: position among the labels; 0 is the configuration's `label`.
        name: the label's column.
        task: regression, binary or multiclass.
        column: the raw column [batch, 1].

    Returns:
        The label, and in a regression its statistics, by the names of `packed_tensors`.

    Raises:
        UserError: a regression label holds text.
    """
    values, _ = raw_columns.dense([column])
    values = tf.reshape(values, [-1])
    if task == "regression":
        if values.dtype == tf.string:
            raise UserError(
                f"label {name}: holds text, expected numbers; choose another label, or task: "
                "multiclass"
            )
        doubles = tf.cast(values, tf.float64)
        logs = tf.math.log1p(tf.maximum(doubles, 0.0))
        median = tf.reshape(tft.quantiles(doubles, 2, epsilon=0.001), [-1])[0]
        moments = [tft.mean(doubles), tf.sqrt(tft.var(doubles))]
        moments += [tft.mean(logs), tf.sqrt(tft.var(logs))]
        low = -tft.max(-doubles)
        statistics = [tf.cast(value, tf.float32) for value in (*moments, median, low)]
        values = tf.cast(values, tf.float32)
        rows = tf.ones_like(values)[:, tf.newaxis] * tf.stack(statistics)[tf.newaxis, :]
        return {
            packed_tensors.label_name(index): values,
            packed_tensors.statistics_name(index): rows,
        }
    values = class_text(values)
    tft.vocabulary(
        escaped(values), store_frequency=True, vocab_filename=packed_tensors.classes_name(index)
    )
    return {packed_tensors.label_name(index): values}


def class_text(values: tf.Tensor) -> tf.Tensor:
    """Returns the class of each label; floats are named as in `text_values.class_of_number`."""
    if values.dtype == tf.string:
        return values
    if values.dtype.is_integer:
        return tf.strings.as_string(values)
    whole = tf.equal(values, tf.floor(values))
    whole = tf.logical_and(whole, tf.abs(values) < text_values.WHOLE_CLASSES_BELOW)
    in_full = tf.where(whole, values, tf.zeros_like(values))
    in_full = tf.strings.as_string(tf.cast(in_full, tf.int64)) + ".0"
    return tf.where(whole, in_full, tf.strings.as_string(values, shortest=True))


def escaped(texts: tf.Tensor) -> tf.Tensor:
    """Escapes line ends, which a vocabulary cannot hold; `from_transform` restores them."""
    for character, escape in ((r"\\", r"\\\\"), ("\n", r"\\n"), ("\r", r"\\r")):
        texts = tf.strings.regex_replace(texts, character, escape)
    return texts


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
    path = transform_output.vocabulary_file_by_name(packed_tensors.classes_name(index))
    counts = {}
    with tf.io.gfile.GFile(path) as lines:
        for line in lines:
            count, value = line.rstrip("\n").split(" ", 1)
            counts[unescaped(value)] = int(count)
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


def unescaped(value: str) -> str:
    """Restores the line ends that `escaped` escapes."""
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
    statistics = packed_tensors.statistics_name(index)
    record = next(iter(tf.data.TFRecordDataset(list(files), "GZIP")))
    row = tf.io.parse_single_example(record, {statistics: tf.io.FixedLenFeature([6], tf.float32)})[
        statistics
    ]
    mean, deviation, log_mean, log_deviation, median, low = (float(value) for value in row)
    # In single precision even a constant label deviates in its seventh digit.
    if not deviation > 1e-6 * abs(mean):
        raise UserError(
            f"label {name}: is {mean:g} in every row of the train split, or varies by less than a "
            "millionth, which is lost in 32-bit floats; there is nothing to learn"
        )
    if log and low < 0:
        raise UserError(
            f"label {name}: found {low:g}; log_label: true needs labels of zero or more"
        )
    if log is None:
        log = low >= 0 and _is_skewed(mean, deviation, median)
    return Label(name, "regression", log, mean, deviation, log_mean, log_deviation, median)


def _is_skewed(mean: float, deviation: float, median: float) -> bool:
    """Returns whether the median is positive and Pearson's second skewness coefficient > 0.5."""
    return median > 0 and 3 * (mean - median) / deviation > 0.5
