"""Input functions over transformed examples, and the receiver of serving requests."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils

from models import preprocessing
from models.estimator_api import ServingInputReceiver
from models.features import Feature, columns_read

CHUNK = 16_384
"""Rows that are parsed, kept and shuffled together."""

EXAMPLES = "examples"
"""Name of the serving signature's input: serialized raw `tf.Example`s."""


def input_fn(
    files: Sequence[str],
    transform_output: tft.TFTransformOutput,
    batch_size: int,
    *,
    training: bool,
    cache_bytes: int,
    seed: int = 0,
    labels: Sequence[str] = (),
) -> Callable[[], tf.data.Dataset]:
    """Batches of (features, labels), parsed a chunk at a time.

    In training the rows come in a new order at each pass, for ever: the order of the files' chunks
    is shuffled, then the rows within each. Chunks stay parsed in memory when the files are smaller
    than `cache_bytes`; otherwise memory holds a few chunks, whatever the size of the data.

    Args:
        files: gzipped TFRecords of transformed examples.
        transform_output: tells what the examples hold.
        batch_size: rows of a batch; in training an incomplete batch at a chunk's end is dropped.
        training: shuffle and repeat.
        cache_bytes: files up to this size together are cached.
        seed: of the shuffling.
        labels: the columns of the labels, the judged one first; wanted where there are several.

    Returns:
        A function that makes the dataset. Its features are dense, or `tf.RaggedTensor`s where
        lists differ in length; its label is one tensor [batch], or a mapping of them by column
        where there are several.

    Raises:
        ValueError: there are several labels, but other ones than `labels`.
    """
    spec = transform_output.transformed_feature_spec()
    count = sum(preprocessing.label_name(index) in spec for index in range(len(spec)))
    if count != max(len(labels), 1):
        raise ValueError(f"found {count} labels in the examples, expected {len(labels) or 1}")

    def parse(records):
        features, found = _split(tf.io.parse_example(records, spec))
        return features, dict(zip(labels, found)) if count > 1 else found[0]

    def shuffled_batches(features, label):
        size = tf.shape(tf.nest.flatten(label)[0])[0]
        rows = tf.random.shuffle(tf.range(size), seed=seed)
        whole = tf.maximum(tf.shape(rows)[0] // batch_size * batch_size, 1)
        rows = rows[: tf.where(whole < batch_size, tf.shape(rows)[0], whole)]
        return (
            tf.data.Dataset.from_tensor_slices(rows)
            .batch(batch_size)
            .map(
                lambda batch: tf.nest.map_structure(
                    lambda column: tf.gather(column, batch), (features, label)
                )
            )
        )

    def make() -> tf.data.Dataset:
        records = tf.data.TFRecordDataset(list(files), "GZIP", num_parallel_reads=2)
        if not training:
            return records.batch(batch_size).map(parse).prefetch(tf.data.AUTOTUNE)
        chunks = records.batch(CHUNK).map(parse)
        if sum(tf.io.gfile.stat(file).length for file in files) <= cache_bytes:
            chunks = chunks.cache()
        chunks = chunks.shuffle(4, seed=seed).repeat()
        return chunks.flat_map(shuffled_batches).prefetch(tf.data.AUTOTUNE)

    return make


def _split(
    tensors: Mapping[str, Any],
) -> tuple[dict[str, tf.Tensor | tf.RaggedTensor], list[tf.Tensor]]:
    """Features and labels; lists of different lengths are ragged, whatever they are kept as."""
    count = len(tensors)
    labels = [preprocessing.label_name(index) for index in range(count)]
    statistics = {preprocessing.statistics_name(index) for index in range(count)}
    features = {
        name: tf.RaggedTensor.from_sparse(value) if isinstance(value, tf.SparseTensor) else value
        for name, value in tensors.items()
        if name not in statistics and name not in labels
    }
    return features, [tensors[name] for name in labels if name in tensors]


def count_rows(files: Sequence[str]) -> int:
    """Rows of gzipped TFRecords."""
    counts = tf.data.TFRecordDataset(list(files), "GZIP").batch(CHUNK).map(tf.shape)
    return int(sum(int(count[0]) for count in counts))


def serving_input_receiver_fn(
    schema: schema_pb2.Schema,
    features: Sequence[Feature],
    transform_output: tft.TFTransformOutput,
) -> Callable[[], ServingInputReceiver]:
    """Receives serialized raw examples without a label, and transforms them as in training.

    Columns that no feature is made of (the labels, the weight, ignored ones) may be absent or
    present; they are not read.
    """
    raw_spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    used = {column.name: raw_spec[column.name] for column in columns_read(features)}

    def receive() -> ServingInputReceiver:
        records = tf.compat.v1.placeholder(tf.string, [None], name=EXAMPLES)
        raw = tf.io.parse_example(records, used)
        transformed = transform_output.transform_raw_features(raw, drop_unused_features=True)
        served, _ = _split(transformed)
        return ServingInputReceiver(served, {EXAMPLES: records})

    return receive
