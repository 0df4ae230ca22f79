"""Vocabularies of all categorical columns, computed in one analysis and kept in one file.

A separate `tft.vocabulary` would cost some 90 MB and 2.5 CPU seconds per column.

Each line of the file has two fields, separated by a tab: `3:Oslo  0` says that Oslo is the most
frequent value of column 3, and `3  17` that the vocabulary of column 3 has 17 values.
"""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_transform as tft
from etils import epath

from models.features.features import Feature

FILE_NAME = "vocabularies"
"""Name of the file among the assets of the transform graph."""

_SEPARATORS = "[\t\r\n]"
_INSTEAD = "\x1f"
"""Replacement for separators within a value, which would break the file's lines and fields."""


def apply(values: tf.Tensor, columns: Sequence[Feature]) -> tf.Tensor:
    """Computes the vocabularies in Transform's analysis, and looks up values in them.

    Indices follow descending frequency, and for equal frequencies descending value. A value that is
    not among a column's `vocabulary` most frequent values, or is rarer than `min_count`, is hashed
    to one of the `oov_buckets` indices that follow.

    Shape: text [batch, c] → int64 [batch, c].

    Args:
        values: all categorical columns side by side.
        columns: their features, in the same order.
    """
    # Importing Beam takes seconds, which the many tasks of a cluster need not spend.
    from models.features.vocabulary_analyzer import Vocabularies

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
    numbers = [str(index) for index in range(len(columns))]
    known = table.lookup(tf.add([f"{index}:" for index in numbers], values))
    return tf.where(
        known >= 0, known, table.lookup(tf.constant(numbers)) + _bucket(values, columns)
    )


def _bucket(values: tf.Tensor, columns: Sequence[Feature]) -> tf.Tensor:
    """Returns the hash bucket of each value, below its column's `oov_buckets`."""
    buckets = [column.oov_buckets for column in columns]
    hashed = tf.zeros_like(values, tf.int64)
    for count in sorted({*buckets} - {1}):
        within = tf.strings.to_hash_bucket_fast(values, count)
        hashed = tf.where([bucket_count == count for bucket_count in buckets], within, hashed)
    return hashed


def sizes(transform_output: tft.TFTransformOutput, columns: int) -> tuple[int, ...]:
    """Returns the size of each categorical column's vocabulary, in the order of the columns."""
    if not columns:
        return ()
    path = epath.Path(transform_output.transform_savedmodel_dir) / "assets" / FILE_NAME
    counts = [0] * columns
    for line in path.read_bytes().split(b"\n"):
        key, _, value = line.partition(b"\t")
        if key.isdigit():
            counts[int(key)] = int(value)
    return tuple(counts)
