"""Vocabularies of all categorical columns, learned in one analysis and kept in one file.

One `tft.vocabulary` for each column would cost some 90 MB and 2.5 CPU seconds of each.

The file is a table of two fields, separated by a tab. `3:Oslo  0` says that Oslo is the most
frequent value of column 3, and `3  17` that the vocabulary of column 3 has 17 values.
"""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_transform as tft
from etils import epath

from models.features import Feature

FILE_NAME = "vocabularies"
"""Among the assets of the transform graph."""

_SEPARATORS = "[\t\r\n]"
_INSTEAD = "\x1f"
"""Stands for a separator within a value: lines and fields of the file end where they should."""


def apply(values: tf.Tensor, columns: Sequence[Feature]) -> tf.Tensor:
    """Learns the vocabularies in Transform's analysis, and looks values up in them.

    Values are numbered by their frequency, those of one frequency in descending order. What is not
    among a column's `vocabulary` most frequent values, or is rarer than `min_count`, gets one of
    the `oov_buckets` numbers that follow, by its hash.

    Shape: text [batch, c] → int64 [batch, c].

    Args:
        values: of all columns, side by side.
        columns: their features, in the same order.
    """
    # Beam takes seconds to import, and the tasks of a cluster, which never come here, are many.
    from models.vocabulary_analyzer import Vocabularies

    values = tf.strings.regex_replace(values, _SEPARATORS, _INSTEAD)
    (path,) = tft.experimental.ptransform_analyzer(
        [values],
        Vocabularies(
            FILE_NAME,
            tuple(column.vocabulary for column in columns),
            tuple(column.min_count for column in columns),
        ),
        output_dtypes=[tf.string],
        output_shapes=[[]],
        output_asset_default_values=[b"0\t0\n"],
    )
    table = tf.lookup.StaticHashTable(
        tf.lookup.TextFileInitializer(path, tf.string, 0, tf.int64, 1, delimiter="\t"), -1
    )
    numbers = [str(number) for number in range(len(columns))]
    known = table.lookup(tf.add([f"{number}:" for number in numbers], values))
    return tf.where(
        known >= 0, known, table.lookup(tf.constant(numbers)) + _bucket(values, columns)
    )


def _bucket(values: tf.Tensor, columns: Sequence[Feature]) -> tf.Tensor:
    """The hash of each value, below its column's number of buckets."""
    buckets = [column.oov_buckets for column in columns]
    hashed = tf.zeros_like(values, tf.int64)
    for count in sorted({*buckets} - {1}):
        within = tf.strings.to_hash_bucket_fast(values, count)
        hashed = tf.where([wanted == count for wanted in buckets], within, hashed)
    return hashed


def sizes(transform_output: tft.TFTransformOutput, columns: int) -> tuple[int, ...]:
    """The number of values in the vocabulary of each categorical column, in their order."""
    if not columns:
        return ()
    path = epath.Path(transform_output.transform_savedmodel_dir) / "assets" / FILE_NAME
    found = [0] * columns
    for line in path.read_bytes().split(b"\n"):
        key, _, value = line.partition(b"\t")
        if key.isdigit():
            found[int(key)] = int(value)
    return tuple(found)
