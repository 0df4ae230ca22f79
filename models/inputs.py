"""Input functions over transformed examples, and the receiver of serving requests."""

from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils

from models import preprocessing
from models.estimator_api import ServingInputReceiver
from models.features import Feature

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
) -> Callable[[], tf.data.Dataset]:
    """Batches of (features, label), parsed a chunk at a time.

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
    """
    spec = transform_output.transformed_feature_spec()

    def parse(records):
        features = tf.io.parse_example(records, spec)
        label = features.pop(preprocessing.LABEL)
        features.pop(preprocessing.LABEL_STATISTICS, None)
        return features, label

    def shuffled_batches(features, label):
        rows = tf.random.shuffle(tf.range(tf.shape(label)[0]), seed=seed)
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

    Columns that are no feature (the label, ignored ones) may be absent or present; they are not
    read.
    """
    raw_spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    used = {feature.name: raw_spec[feature.name] for feature in features}

    def receive() -> ServingInputReceiver:
        records = tf.compat.v1.placeholder(tf.string, [None], name=EXAMPLES)
        raw = tf.io.parse_example(records, used)
        transformed = transform_output.transform_raw_features(raw, drop_unused_features=True)
        for name in (preprocessing.LABEL, preprocessing.LABEL_STATISTICS):
            transformed.pop(name, None)
        return ServingInputReceiver(transformed, {EXAMPLES: records})

    return receive
