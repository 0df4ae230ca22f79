"""Tests that the encoder writes protobuf's canonical bytes for every kind of column."""

import pyarrow as pa
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from tfx_bsl.coders import example_coder

from components.example_io import encoder

INT = pa.large_list(pa.int64())
FLOAT = pa.large_list(pa.float32())
BYTES = pa.large_list(pa.large_binary())


def canonical(record: bytes) -> bytes:
    return tf.train.Example.FromString(record).SerializeToString(deterministic=True)


def column(kind, rows):
    items = {
        INT: st.integers(-(2**63), 2**63 - 1),
        FLOAT: st.floats(width=32),
        BYTES: st.binary(max_size=300),
    }[kind]
    lists = st.none() | st.lists(items, max_size=4) | st.lists(items, min_size=1, max_size=1)
    return st.lists(lists, min_size=rows, max_size=rows).map(lambda found: pa.array(found, kind))


@st.composite
def batches(draw):
    rows = draw(st.integers(1, 8))
    names = draw(st.lists(st.text(max_size=5), min_size=1, max_size=4, unique=True))
    names = [name for name in names if name.isprintable()] or ["a"]
    columns = [draw(column(draw(st.sampled_from([INT, FLOAT, BYTES])), rows)) for _ in names]
    start = draw(st.integers(0, rows - 1))
    return pa.RecordBatch.from_arrays(columns, names).slice(start)


@examples(200)
@given(batches())
def test_bytes_equal_the_librarys_and_are_canonical(batch):
    ours = encoder.encode(batch).to_pylist()
    theirs = example_coder.RecordBatchToExamplesEncoder().encode(batch)
    assert ours == [canonical(record) for record in theirs]


def test_columns_of_nulls():
    batch = pa.RecordBatch.from_pydict({"b": pa.nulls(2), "a": pa.array([[1], None], INT)})
    first, second = encoder.encode(batch).to_pylist()
    example = tf.train.Example.FromString(first)
    assert sorted(example.features.feature) == ["a", "b"]
    assert example.features.feature["b"].WhichOneof("kind") is None
    assert [canonical(first), canonical(second)] == [first, second]
    first, second = encoder.encode(batch, nulls=False).to_pylist()
    assert sorted(tf.train.Example.FromString(first).features.feature) == ["a"]
    assert not tf.train.Example.FromString(second).features.feature


def test_a_single_feature():
    found = encoder.features(pa.array([[300], [b"x" * 200]][:1], INT)).to_pylist()
    feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[300]))
    assert found == [feature.SerializeToString(deterministic=True)]
    found = encoder.features(pa.array([[b"x" * 200]], BYTES)).to_pylist()
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x" * 200]))
    assert found == [feature.SerializeToString(deterministic=True)]
