"""Tests of our reader and writer of examples against TFX's own, and of damaged files."""

import collections
import gzip
import io
import pathlib

import apache_beam as beam
import beam_steps
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from tfx.components.transform import executor as transform
from tfx.components.util import tfxio_utils
from tfx.proto import example_gen_pb2
from tfx_bsl.tfxio import tf_example_record

from components.example_io import beam_io
from components.tables import tfrecords

ROWS = 2500
RAW = "raw"


def example(number: int) -> bytes:
    features = {
        "number": tf.train.Feature(int64_list=tf.train.Int64List(value=[number])),
        "text": tf.train.Feature(
            bytes_list=tf.train.BytesList(value=[b"x" * (number % 7)] if number % 3 else [])
        ),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString(
        deterministic=True
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> pathlib.Path:
    """Writes two files of examples with TensorFlow."""
    folder = tmp_path_factory.mktemp("examples")
    for part, numbers in enumerate((range(ROWS), range(ROWS, ROWS + 10))):
        path = str(folder / f"data-0000{part}.gz")
        with tf.io.TFRecordWriter(path, "GZIP") as writer:
            for number in numbers:
                writer.write(example(number))
    return folder


def run(*steps) -> None:
    with beam_steps.patched(), beam.Pipeline(argv=beam_steps.ARGUMENTS) as pipeline:
        collection = pipeline
        for step in steps:
            collection = collection | step


BATCHES: list[pa.RecordBatch] = []
"""Filled by `keep`; global, as Beam pickles the functions that it runs."""


def keep(batch: pa.RecordBatch) -> None:
    BATCHES.append(batch)


def batches(reader, batch_size: int | None = None) -> list[pa.RecordBatch]:
    BATCHES.clear()
    run(reader.BeamSource(batch_size), beam.Map(keep))
    return list(BATCHES)


def rows(found: list[pa.RecordBatch]) -> collections.Counter:
    return collections.Counter(
        str(sorted(row.items())) for batch in found for row in batch.to_pylist()
    )


def reader(folder: pathlib.Path, **options):
    """Returns a reader as TFX's executors create it."""
    return tfxio_utils.make_tfxio(
        [str(folder / "*")],
        ["Step"],
        example_gen_pb2.FORMAT_TF_EXAMPLE,
        file_format=["tfrecords_gzip"],
        **options,
    )


@pytest.mark.parametrize("options", [{}, {"raw_record_column_name": RAW}])
def test_the_same_rows_are_read_as_by_tfx_in_equal_batches(folder, options):
    theirs = reader(folder, **options)
    with beam_io.in_batches():
        ours = reader(folder, **options)
    assert type(theirs) is tf_example_record.TFExampleRecord, "outside it is as it was"
    assert type(ours) is beam_io.Examples
    found = batches(ours, 1000)
    assert sorted(batch.num_rows for batch in found) == [10, 500, 1000, 1000]
    numbers = [[number for [number] in batch.column("number").to_pylist()] for batch in found]
    wanted = [range(1000), range(1000, 2000), range(2000, ROWS), range(ROWS, ROWS + 10)]
    assert sorted(numbers) == [list(part) for part in wanted], "as they stand in the files"
    assert rows(found) == rows(batches(theirs))
    assert {batch.schema for batch in found} == {found[0].schema}
    if options:
        raw = [record for batch in found for [record] in batch.column(RAW).to_pylist()]
        assert collections.Counter(raw) == collections.Counter(map(example, range(ROWS + 10)))


def test_a_damaged_record_is_reported_by_its_number(folder, tmp_path):
    content = bytearray(gzip.decompress((folder / "data-00000.gz").read_bytes()))
    (offset,) = [i for i in range(len(content)) if content.startswith(example(1700), i)]
    content[offset + 5] ^= 1
    path = tmp_path / "data.gz"
    path.write_bytes(gzip.compress(bytes(content)))
    with beam_io.in_batches():
        ours = reader(tmp_path)
    with pytest.raises(
        Exception, match=f"{path}: record 1701 is damaged or truncated, since it was written"
    ):
        batches(ours)


def positioned(folder: pathlib.Path, schema=None) -> beam_io.Examples:
    """Returns our reader as Transform's executor creates it."""
    found = beam_io.Examples([str(folder / "*")], schema=schema, telemetry_descriptors=["Step"])
    found.with_positions = True
    return found


def written(prefix: pathlib.Path) -> list[list[bytes]]:
    """Returns the examples of each file that was written, in protobuf's canonical bytes."""
    files = sorted(str(path) for path in prefix.parent.glob(f"{prefix.name}-*-of-*.gz"))
    return [
        [
            tf.train.Example.FromString(record).SerializeToString(deterministic=True)
            for record in tf.data.TFRecordDataset([file], "GZIP").as_numpy_iterator()
        ]
        for file in files
    ]


def transformed_schema() -> transform.schema_pb2.Schema:
    schema = transform.schema_pb2.Schema()
    schema.feature.add(name="number", type="INT").shape.dim.add(size=1)
    schema.feature.add(name="text", type="BYTES")
    return schema


def test_transform_writes_what_tfx_writes(folder, tmp_path):
    schema = transformed_schema()
    found = {}
    for name, processor in (("ours", beam_io.Processor), ("theirs", transform.TransformProcessor)):
        source = positioned(folder, schema)
        source.with_positions = name == "ours"
        run(
            source.BeamSource(),
            beam.Map(lambda batch: (batch, {})),
            processor._EncodeAndWrite(schema, "tfrecords_gzip", str(tmp_path / name)),
        )
        found[name] = [example for file in written(tmp_path / name) for example in file]
    assert collections.Counter(found["ours"]) == collections.Counter(found["theirs"])
    assert found["ours"] == [example(number) for number in range(ROWS + 10)], "in the order read"
    assert not list(tmp_path.glob("*unfinished*"))


def bundled(batch: pa.RecordBatch) -> tuple[int, pa.RecordBatch]:
    """Gives a batch a key that puts neighbours apart and others together."""
    first = batch.column("number")[0][0].as_py()
    return first // 100 % 3, batch


def unordered(keyed: tuple[int, list[pa.RecordBatch]]) -> list[tuple[pa.RecordBatch, dict]]:
    return [(batch, {}) for batch in reversed(keyed[1])]


def test_rows_are_written_in_their_order_however_bundles_are_formed(folder, tmp_path):
    schema = transformed_schema()
    run(
        positioned(folder, schema).BeamSource(100),
        beam.Map(bundled),
        beam.GroupByKey(),
        beam.FlatMap(unordered),
        beam_io.Processor._EncodeAndWrite(schema, "tfrecords_gzip", str(tmp_path / "ours")),
    )
    files = written(tmp_path / "ours")
    assert len(files) == 26, "no batch follows the one before"
    assert [one for file in files for one in file] == [example(n) for n in range(ROWS + 10)]


def test_without_rows_an_empty_file_is_written(tmp_path):
    (tmp_path / "none").mkdir()
    with tf.io.TFRecordWriter(str(tmp_path / "none" / "data.gz"), "GZIP"):
        pass
    run(
        positioned(tmp_path / "none", transformed_schema()).BeamSource(),
        beam.Map(lambda batch: (batch, {})),
        beam_io.Processor._EncodeAndWrite(transformed_schema(), "", str(tmp_path / "ours")),
    )
    assert written(tmp_path / "ours") == [[]]


@examples(60)
@given(
    st.lists(st.binary(max_size=40) | st.just(b"long" * 700_000), max_size=12),
    st.integers(1, 5),
    st.data(),
)
def test_records_round_trip_and_damage_is_detected(texts, most, data):
    written = b"".join(
        bytes(part.as_py()) for part in tfrecords.frame(pa.array(texts, pa.large_binary()), texts)
    )

    def read(content: bytes) -> list[list[bytes]]:
        return list(tfrecords.read(io.BytesIO(content), most))

    found = read(written)
    assert [text for batch in found for text in batch] == texts
    assert all(len(batch) == most for batch in found[:-1])
    if not written:
        return
    offset = data.draw(st.integers(0, len(written) - 1))
    ends = {0}
    for text in texts:
        ends.add(max(ends) + len(text) + 16)
    if offset not in ends:
        with pytest.raises(tfrecords.DamagedRecord):
            read(written[:offset])
    changed = bytearray(written)
    changed[offset] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(tfrecords.DamagedRecord) as error:
        read(bytes(changed))
    assert error.value.index == sum(end <= offset for end in ends) - 1
