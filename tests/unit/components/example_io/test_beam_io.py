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


def test_transform_writes_what_tfx_writes(folder, tmp_path):
    written = {}
    schema = transform.schema_pb2.Schema()
    schema.feature.add(name="number", type="INT").shape.dim.add(size=1)
    schema.feature.add(name="text", type="BYTES")
    for name, processor in (("ours", beam_io.Processor), ("theirs", transform.TransformProcessor)):
        run(
            beam_io.Examples(
                [str(folder / "*")], schema=schema, telemetry_descriptors=["Step"]
            ).BeamSource(),
            beam.Map(lambda batch: (batch, {})),
            processor._EncodeAndWrite(schema, "tfrecords_gzip", str(tmp_path / name)),
        )
        files = sorted(str(path) for path in tmp_path.glob(f"{name}-*-of-*.gz"))
        records = tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
        examples = [tf.train.Example.FromString(record) for record in records]
        written[name] = collections.Counter(
            one.SerializeToString(deterministic=True) for one in examples
        )
    assert written["ours"] == written["theirs"]
    assert sum(written["ours"].values()) == ROWS + 10
    assert not list(tmp_path.glob("*temp*"))


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
