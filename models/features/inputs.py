"""Input functions for transformed examples, and the receiver of serving requests."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils

from models.errors import UserError
from models.estimator_api import ServingInputReceiver
from models.features import packed_tensors
from models.features.features import Feature, columns_read

CHUNK = 16_384
"""Number of rows that are parsed and shuffled together."""

_SHUFFLED_CHUNKS = 4
_BATCHES_AHEAD = 4


@dataclasses.dataclass(frozen=True)
class Shard:
    """Part of the rows: every `count`-th one, starting at row `index`."""

    index: int
    count: int


WHOLE = Shard(0, 1)

EXAMPLES = "examples"
"""Name of the serving signature's input of serialized raw `tf.Example`s."""


def training_input_fn(
    files: Sequence[str],
    transform_output: tft.TFTransformOutput,
    batch_size: int,
    *,
    rows: int,
    cache_bytes: int,
    seed: int,
    start_step: int = 0,
    labels: Sequence[str] = (),
    shard: Shard = WHOLE,
    replicas: int = 1,
) -> Callable[[], tf.data.Dataset]:
    """Returns an input function of endless batches (features, labels), reshuffled in each pass.

    Data that fits `cache_bytes` is parsed once, cached, and shuffled as a whole. Of larger data
    only a few chunks are in memory: neighbouring chunks are shuffled, then the rows of each chunk.

    The order depends only on the seed and the step, so a run that resumes from a checkpoint sees
    the same batches as an uninterrupted one.

    Args:
        files: gzipped TFRecords of transformed examples.
        transform_output: Transform's output, with the examples' feature spec.
        batch_size: rows per batch; an incomplete batch at the end of a chunk is dropped.
        rows: number of rows in the files, see `count_rows`.
        cache_bytes: maximum size of parsed examples that are cached.
        seed: seed of the order.
        start_step: number of batches to skip.
        labels: columns of the labels, in order; required if there are several.
        shard: rows to read. All shards of one count together have every row once.
        replicas: number of equal parts of each batch. The dataset yields the parts one by one, and
            `tf.distribute` gives each replica the next.

    Returns:
        A function that builds the dataset. Features are dense, or `tf.RaggedTensor`s if lists
        differ in length. The label is a tensor [batch], or a mapping of tensors by column if there
        are several.

    Raises:
        ValueError: the examples have another number of labels than `labels`, or there are fewer
            rows than shards or replicas.
    """
    if rows < shard.count:
        raise UserError(
            f"{shard.count} tasks train, including the chief, but there are only {rows} examples; "
            "expected at least one per task: lower train.cluster.workers"
        )
    rows = len(range(shard.index, rows, shard.count))
    if rows < replicas:
        raise UserError(
            f"{replicas} replicas train, but there are only {rows} examples; expected at least one "
            "per replica: lower train.cluster.mirrored"
        )
    spec = transform_output.transformed_feature_spec()
    parse = _parser(spec, labels)
    in_memory = rows * bytes_per_row(spec) <= cache_bytes
    chunk = rows if in_memory else CHUNK
    sizes = [chunk] * (rows // chunk) + ([rows % chunk] if rows % chunk else [])
    # If a chunk is smaller than a batch, replicas share as many of its rows as divide equally.
    batches = [max(size // batch_size, min(size // replicas, 1)) for size in sizes]
    first_pass, done = divmod(start_step, sum(batches))

    def shuffled_batches(index, examples):
        """Batches a chunk's rows, shuffled by the seed and the chunk's index."""
        size = tf.shape(tf.nest.flatten(examples[1])[0])[0]
        order = tf.random.experimental.stateless_shuffle(tf.range(size), seed=[seed, index])
        whole = size // batch_size * batch_size
        whole = tf.where(whole > 0, whole, size // replicas * replicas)
        part = tf.maximum(tf.minimum(whole, batch_size) // replicas, 1)
        return (
            tf.data.Dataset.from_tensor_slices(order[:whole])
            .batch(tf.cast(part, tf.int64))
            .map(
                lambda batch: tf.nest.map_structure(
                    lambda column: tf.gather(column, batch), examples
                )
            )
        )

    def chunks_of_pass(index):
        chunks = _records(files, shard).batch(CHUNK).map(parse)
        return chunks.shuffle(_SHUFFLED_CHUNKS, seed=seed + index).enumerate(index * len(sizes))

    def make() -> tf.data.Dataset:
        if in_memory:
            parsed = _records(files, shard).batch(CHUNK).map(parse).rebatch(rows).cache()
            chunks = parsed.repeat().enumerate(first_pass)
        else:
            passes = tf.data.Dataset.range(first_pass, tf.int64.max)
            chunks = passes.flat_map(chunks_of_pass)
        return _ahead(chunks.flat_map(shuffled_batches).skip(done * replicas))

    return make


def evaluation_input_fn(
    files: Sequence[str],
    transform_output: tft.TFTransformOutput,
    batch_size: int,
    labels: Sequence[str] = (),
) -> Callable[[], tf.data.Dataset]:
    """Returns an input function of one pass over the files, in order; see `training_input_fn`."""
    parse = _parser(transform_output.transformed_feature_spec(), labels)
    return lambda: _ahead(_records(files).batch(batch_size).map(parse))


def _records(files: Sequence[str], shard: Shard = WHOLE) -> tf.data.Dataset:
    records = tf.data.TFRecordDataset(list(files), "GZIP", num_parallel_reads=2)
    if shard == WHOLE:
        return records
    # By row, not by file: there may be fewer files than shards, and their sizes vary.
    return records.shard(shard.count, shard.index)


def _ahead(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Makes a few batches ahead of the model, without `tf.data`'s tuning.

    There is nothing to tune, and a tuned iterator may take a minute to close: its thread sleeps
    that long between two rounds, and can miss the one notice that wakes it to end
    (`Model::OptimizeLoop` and `CancellationManager` in TensorFlow 2.15).
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(_BATCHES_AHEAD).with_options(options)


def _parser(spec: Mapping[str, Any], labels: Sequence[str]) -> Callable:
    """Returns a function that parses serialized examples [batch] into features and labels."""
    count = sum(packed_tensors.label_name(index) in spec for index in range(len(spec)))
    if count != max(len(labels), 1):
        raise ValueError(f"found {count} labels in the examples, expected {len(labels) or 1}")

    def parse(records):
        features, targets = _split(tf.io.parse_example(records, spec))
        return features, dict(zip(labels, targets)) if count > 1 else targets[0]

    return parse


def content_of(files: Sequence[str], transform_output: tft.TFTransformOutput) -> Iterator[bytes]:
    """Yields the values in the files, in order, as bytes that depend on nothing but the values.

    The files themselves may differ for equal values: a `tf.Example` has no fixed feature order.
    """
    spec = transform_output.transformed_feature_spec()
    for columns in _records(files).batch(CHUNK).map(lambda rows: tf.io.parse_example(rows, spec)):
        for name, column in sorted(columns.items()):
            yield name.encode()
            for part in tf.nest.flatten(column, expand_composites=True):
                yield tf.io.serialize_tensor(part).numpy()


def bytes_per_row(spec: Mapping[str, Any]) -> int:
    """Returns the size of a parsed example of a feature spec; texts and lists are estimated."""
    total = 0
    for feature in spec.values():
        values = math.prod(feature.shape) if isinstance(feature, tf.io.FixedLenFeature) else 16
        total += values * (32 if feature.dtype == tf.string else feature.dtype.size)
    return total


def _split(
    tensors: Mapping[str, Any],
) -> tuple[dict[str, tf.Tensor | tf.RaggedTensor], list[tf.Tensor]]:
    """Splits tensors into features and labels; sparse tensors become ragged."""
    count = len(tensors)
    labels = [packed_tensors.label_name(index) for index in range(count)]
    statistics = {packed_tensors.statistics_name(index) for index in range(count)}
    # Sort, since Transform returns its outputs in a different order at each call.
    features = {
        name: tf.RaggedTensor.from_sparse(value) if isinstance(value, tf.SparseTensor) else value
        for name, value in sorted(tensors.items())
        if name not in statistics and name not in labels
    }
    return features, [tensors[name] for name in labels if name in tensors]


def count_rows(files: Sequence[str]) -> int:
    """Counts the rows of gzipped TFRecords."""
    counts = tf.data.TFRecordDataset(list(files), "GZIP").batch(CHUNK).map(tf.shape)
    return int(sum(int(count[0]) for count in counts))


def serving_input_receiver_fn(
    schema: schema_pb2.Schema,
    features: Sequence[Feature],
    transform_output: tft.TFTransformOutput,
) -> Callable[[], ServingInputReceiver]:
    """Returns a function that builds the receiver of serialized raw examples for serving.

    It transforms them as in training. Columns that no feature reads (labels, the weight, ignored
    columns) may be present or absent.
    """
    raw_spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    used = {column.name: raw_spec[column.name] for column in columns_read(features)}

    def receive() -> ServingInputReceiver:
        records = tf.compat.v1.placeholder(tf.string, [None], name=EXAMPLES)
        raw = tf.io.parse_example(records, _with_shared_defaults(used))
        transformed = transform_output.transform_raw_features(raw, drop_unused_features=True)
        served, _ = _split(transformed)
        return ServingInputReceiver(served, {EXAMPLES: records})

    return receive


def _with_shared_defaults(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Makes columns without a default value share the empty tensor that TensorFlow uses for it.

    One tensor per column made up a third of the operations of a wide table's export, and of the
    time it took to load.
    """
    none: dict[tf.DType, tf.Tensor] = {}

    def shared(feature: Any) -> Any:
        if not isinstance(feature, tf.io.FixedLenFeature) or feature.default_value is not None:
            return feature
        if feature.dtype not in none:
            none[feature.dtype] = tf.constant([], feature.dtype)
        return feature._replace(default_value=none[feature.dtype])

    return {name: shared(feature) for name, feature in spec.items()}
