"""Input functions over transformed examples, and the receiver of serving requests."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
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

_SHUFFLED_CHUNKS = 4


@dataclasses.dataclass(frozen=True)
class Shard:
    """Every `count`-th row, from number `index` on."""

    index: int
    count: int


WHOLE = Shard(0, 1)

EXAMPLES = "examples"
"""Name of the serving signature's input: serialized raw `tf.Example`s."""


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
    """Batches of (features, labels) without an end, in a new order at each pass.

    What fits `cache_bytes` is parsed once, kept, and shuffled as a whole. Of more than that a few
    chunks are in memory, whatever the size of the data: the order of the chunks is shuffled among
    neighbours, then the rows within each.

    The order is a function of the seed and the step, so a run that goes on from a checkpoint sees
    what it would have seen.

    Args:
        files: gzipped TFRecords of transformed examples.
        transform_output: tells what the examples hold.
        batch_size: rows of a batch; an incomplete one at the end of a chunk is left out.
        rows: in the files, see `count_rows`.
        cache_bytes: examples up to this size, parsed, are kept.
        seed: of the order.
        start_step: the number of batches to pass over.
        labels: the columns of the labels, in their order; wanted where there are several.
        shard: which rows to read. The shards of one count have all rows between them, each once.
        replicas: so many parts in a row make a batch, and each is handed out as if it were one;
            `tf.distribute` gives each replica the next.

    Returns:
        A function that makes the dataset. Its features are dense, or `tf.RaggedTensor`s where
        lists differ in length; its label is one tensor [batch], or a mapping of them by column
        where there are several.

    Raises:
        ValueError: there are several labels, but other ones than `labels`; or a shard without rows,
            or replicas without.
    """
    if rows < shard.count:
        raise ValueError(
            f"{shard.count} workers, the chief among them, have {rows} examples to train on; "
            f"expected one for each: lower train.cluster.workers"
        )
    rows = len(range(shard.index, rows, shard.count))
    if rows < replicas:
        raise ValueError(
            f"{replicas} replicas have {rows} examples to train on; expected one for each: lower "
            "train.cluster.mirrored"
        )
    spec = transform_output.transformed_feature_spec()
    parse = _parser(spec, labels)
    in_memory = rows * bytes_per_row(spec) <= cache_bytes
    chunk = rows if in_memory else CHUNK
    sizes = [chunk] * (rows // chunk) + ([rows % chunk] if rows % chunk else [])
    # Of less than a batch the replicas get what they can share, if that is anything.
    batches = [max(size // batch_size, min(size // replicas, 1)) for size in sizes]
    first_pass, done = divmod(start_step, sum(batches))

    def shuffled_batches(number, examples):
        """Of a chunk's rows in an order of the chunk's number."""
        size = tf.shape(tf.nest.flatten(examples[1])[0])[0]
        order = tf.random.experimental.stateless_shuffle(tf.range(size), seed=[seed, number])
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

    def chunks_of_pass(number):
        chunks = _records(files, shard).batch(CHUNK).map(parse)
        return chunks.shuffle(_SHUFFLED_CHUNKS, seed=seed + number).enumerate(number * len(sizes))

    def make() -> tf.data.Dataset:
        if in_memory:
            parsed = _records(files, shard).batch(CHUNK).map(parse).rebatch(rows).cache()
            chunks = parsed.repeat().enumerate(first_pass)
        else:
            passes = tf.data.Dataset.range(first_pass, tf.int64.max)
            chunks = passes.flat_map(chunks_of_pass)
        return chunks.flat_map(shuffled_batches).skip(done * replicas).prefetch(tf.data.AUTOTUNE)

    return make


def evaluation_input_fn(
    files: Sequence[str],
    transform_output: tft.TFTransformOutput,
    batch_size: int,
    labels: Sequence[str] = (),
) -> Callable[[], tf.data.Dataset]:
    """One pass over the files in their order; for the rest see `training_input_fn`."""
    parse = _parser(transform_output.transformed_feature_spec(), labels)
    return lambda: _records(files).batch(batch_size).map(parse).prefetch(tf.data.AUTOTUNE)


def _records(files: Sequence[str], shard: Shard = WHOLE) -> tf.data.Dataset:
    records = tf.data.TFRecordDataset(list(files), "GZIP", num_parallel_reads=2)
    if shard == WHOLE:
        return records
    # By row, not by file: there may be fewer files than workers, and of any size.
    return records.shard(shard.count, shard.index)


def _parser(spec: Mapping[str, Any], labels: Sequence[str]) -> Callable:
    """Parses serialized examples [batch] to features and labels."""
    count = sum(preprocessing.label_name(index) in spec for index in range(len(spec)))
    if count != max(len(labels), 1):
        raise ValueError(f"found {count} labels in the examples, expected {len(labels) or 1}")

    def parse(records):
        features, found = _split(tf.io.parse_example(records, spec))
        return features, dict(zip(labels, found)) if count > 1 else found[0]

    return parse


def content_of(files: Sequence[str], transform_output: tft.TFTransformOutput) -> Iterator[bytes]:
    """The values in the files, in their order, as bytes that are equal if and only if they are.

    The files of equal examples differ: the features of a `tf.Example` are in no fixed order.
    """
    spec = transform_output.transformed_feature_spec()
    for columns in _records(files).batch(CHUNK).map(lambda rows: tf.io.parse_example(rows, spec)):
        for name, column in sorted(columns.items()):
            yield name.encode()
            for part in tf.nest.flatten(column, expand_composites=True):
                yield tf.io.serialize_tensor(part).numpy()


def bytes_per_row(spec: Mapping[str, Any]) -> int:
    """The size of a parsed example of a feature spec; texts and lists are guessed at."""
    total = 0
    for feature in spec.values():
        values = math.prod(feature.shape) if isinstance(feature, tf.io.FixedLenFeature) else 16
        total += values * (32 if feature.dtype == tf.string else feature.dtype.size)
    return total


def _split(
    tensors: Mapping[str, Any],
) -> tuple[dict[str, tf.Tensor | tf.RaggedTensor], list[tf.Tensor]]:
    """Features and labels; lists of different lengths are ragged, whatever they are kept as."""
    count = len(tensors)
    labels = [preprocessing.label_name(index) for index in range(count)]
    statistics = {preprocessing.statistics_name(index) for index in range(count)}
    # Transform gives its outputs in any order, and in another one at each call.
    features = {
        name: tf.RaggedTensor.from_sparse(value) if isinstance(value, tf.SparseTensor) else value
        for name, value in sorted(tensors.items())
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
        raw = tf.io.parse_example(records, _with_shared_defaults(used))
        transformed = transform_output.transform_raw_features(raw, drop_unused_features=True)
        served, _ = _split(transformed)
        return ServingInputReceiver(served, {EXAMPLES: records})

    return receive


def _with_shared_defaults(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Has columns without a default share the empty tensor that says so.

    TensorFlow makes one for each column, which was a third of the operations of a wide table's
    export, and of the seconds that it took to load.
    """
    none: dict[tf.DType, tf.Tensor] = {}

    def shared(feature: Any) -> Any:
        if not isinstance(feature, tf.io.FixedLenFeature) or feature.default_value is not None:
            return feature
        if feature.dtype not in none:
            none[feature.dtype] = tf.constant([], feature.dtype)
        return feature._replace(default_value=none[feature.dtype])

    return {name: shared(feature) for name, feature in spec.items()}
