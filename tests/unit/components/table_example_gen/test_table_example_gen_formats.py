"""Tests that Parquet and TFRecord files keep the values of every type and get TFX's splits."""

import collections
import datetime
import pathlib
import random

import example_gens
import pyarrow as pa
import pyarrow.parquet
import pytest
import table_rows
import tensorflow as tf

from components.example_io import encoder
from components.table_example_gen import BadTable
from components.tables import reader
from components.tables.column_kinds import Kind
from components.tables.reader import parquet_values
from components.tables.table import Reading


def parquet_rows(folder: pathlib.Path, table: pa.Table, **options) -> list[tf.train.Example]:
    """Returns the examples of a table, in the order of its rows."""
    folder.mkdir(exist_ok=True)
    file = str(folder / "table.parquet")
    pa.parquet.write_table(table, file, row_group_size=2)
    source = reader.open_table([file], Reading("parquet"), block_bytes=100)
    return [
        tf.train.Example.FromString(record.as_py())
        for rows in table_rows.read(source, [file])
        for record in encoder.encode(rows.batch)
    ]


def values(example, name):
    feature = example.features.feature[name]
    kind = feature.WhichOneof("kind")
    return (kind, list(getattr(feature, kind).value)) if kind else None


def test_every_type_keeps_its_values_and_only_nulls_are_missing(tmp_path):
    table = pa.table(
        {
            "whole": pa.array([0, None, -(2**40)], pa.int64()),
            "small": pa.array([1, 0, None], pa.int8()),
            "number": pa.array([0.0, None, 2.5], pa.float64()),
            "truth": pa.array([False, True, None]),
            "text": pa.array(["", "Çelik", None]),
            "category": pa.array(["a", None, "b"]).dictionary_encode(),
            "day": pa.array([datetime.date(2014, 10, 13), None, None]),
            "time": pa.array(
                [datetime.datetime(2014, 10, 13, 8, 30), None, None], pa.timestamp("s")
            ),
        }
    )
    first, second, third = parquet_rows(tmp_path, table)
    assert values(first, "whole") == ("int64_list", [0])
    assert values(second, "whole") == ("int64_list", [])
    assert values(third, "whole") == ("int64_list", [-(2**40)])
    assert values(second, "small") == ("int64_list", [0])
    assert values(first, "number") == ("float_list", [0.0])
    assert values(third, "number") == ("float_list", [2.5])
    assert values(first, "truth") == ("int64_list", [0])
    assert values(first, "text") == ("bytes_list", [b""])
    assert values(second, "text") == ("bytes_list", ["Çelik".encode()])
    assert values(third, "category") == ("bytes_list", [b"b"])
    assert values(first, "day") == ("bytes_list", [b"2014-10-13"])
    assert values(first, "time") == ("bytes_list", [b"2014-10-13 08:30:00.000"])


@pytest.mark.parametrize("many", [pa.list_, pa.large_list])
def test_lists_keep_their_values_and_empty_ones_are_absent(tmp_path, many):
    lists = pa.array([[9, 9], [1, 0], [], None, [3]], many(pa.int16()))
    rows = parquet_rows(tmp_path, pa.table({"many": lists, "one": [0, 1, 2, 3, 4]})[1:])
    assert [values(row, "many") for row in rows] == [
        ("int64_list", [1, 0]),
        None,
        None,
        ("int64_list", [3]),
    ]
    assert [values(row, "one") for row in rows] == [("int64_list", [n]) for n in (1, 2, 3, 4)]


def test_lists_of_text(tmp_path):
    lists = pa.array([["a", ""], ["long " * 40], None])
    rows = parquet_rows(tmp_path, pa.table({"many": lists}))
    assert values(rows[0], "many") == ("bytes_list", [b"a", b""])
    assert values(rows[1], "many") == ("bytes_list", [b"long " * 40])
    assert values(rows[2], "many") is None


def test_lists_of_one_length():
    # Arrow 10 cannot read such a column from a file if it has a null.
    lists = pa.array([[1.5, 0.0], None, [2.0, 3.0]], pa.list_(pa.float64(), 2))
    batch = pa.RecordBatch.from_pydict({"many": lists})
    encoded = encoder.encode(parquet_values.features(batch, {"many": Kind.FLOAT}, "file"))
    rows = [tf.train.Example.FromString(record.as_py()) for record in encoded]
    assert [values(row, "many") for row in rows] == [
        ("float_list", [1.5, 0.0]),
        None,
        ("float_list", [2.0, 3.0]),
    ]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([[1, None]], "many: found a null in a list; remove it"),
        ([[[1]]], "many: found the Parquet type list"),
        ([[{"a": 1}]], "many: found the Parquet type list"),
        ([{"a": 1}], "many: found the Parquet type struct"),
    ],
)
def test_other_lists_are_refused_by_name(tmp_path, lists, message):
    with pytest.raises(BadTable, match=f"table.parquet: {message}"):
        parquet_rows(tmp_path, pa.table({"ok": [1], "many": pa.array(lists)}))


def test_parquet_is_split_as_the_same_table_in_csv(tmp_path):
    rows = [(number, number / 8, f"city {number % 7}") for number in range(300)]
    columns = dict(zip(("id", "price", "city"), zip(*rows)))
    (tmp_path / "parquet").mkdir()
    table = pa.table({name: list(column) for name, column in columns.items()})
    pa.parquet.write_table(table[:100], tmp_path / "parquet" / "a", row_group_size=40)
    pa.parquet.write_table(table[100:], tmp_path / "parquet" / "b", row_group_size=150)
    (tmp_path / "csv").mkdir()
    lines = ["id,price,city", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "csv" / "table.csv").write_text("\n".join(lines))
    found = example_gens.ours(tmp_path / "parquet", format="parquet")
    assert found.rows() == example_gens.ours_without_beam(tmp_path / "csv" / "table.csv")
    assert found.report["kinds"] == {"id": "INT", "price": "FLOAT", "city": "BYTES"}


def test_whole_numbers_in_one_file_and_fractions_in_another(tmp_path):
    pa.parquet.write_table(pa.table({"n": [1, 2]}), tmp_path / "a")
    pa.parquet.write_table(pa.table({"n": [1.5]}), tmp_path / "b")
    paths = [str(tmp_path / name) for name in ("a", "b")]
    source = reader.open_table(paths, Reading("parquet"), block_bytes=100)
    batches = [rows.batch.to_pydict() for rows in table_rows.read(source, paths)]
    assert batches == [{"n": [[1.0], [2.0]]}, {"n": [[1.5]]}]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"n": ["a"]}, "b: n: holds text, but numbers in .*a; convert one"),
        ({"m": [1]}, "has no column"),
    ],
)
def test_parquet_files_with_different_columns(tmp_path, other, message):
    pa.parquet.write_table(pa.table({"n": [1, 2]}), tmp_path / "a")
    pa.parquet.write_table(pa.table(other), tmp_path / "b")
    paths = [str(tmp_path / name) for name in ("a", "b")]
    with pytest.raises(BadTable, match=message):
        reader.open_table(paths, Reading("parquet"), block_bytes=100)


def example(number: int) -> tf.train.Example:
    made = tf.train.Example()
    made.features.feature["id"].int64_list.value.append(number // 2)
    made.features.feature["price"].float_list.value.append(number / 8)
    made.features.feature["many"].bytes_list.value.extend([b"x" * (number % 5), b"y"])
    made.features.feature["none"].int64_list.SetInParent()
    return made


@pytest.fixture
def records(tmp_path):
    """Writes two files of 150 examples, one of them gzipped."""
    folder = tmp_path / "records"
    folder.mkdir()
    order = random.Random(0)
    for name, start in (("a.tfrecord", 0), ("b.tfrecord.gz", 150)):
        numbers = list(range(start, start + 150))
        order.shuffle(numbers)
        options = "GZIP" if name.endswith(".gz") else ""
        with tf.io.TFRecordWriter(str(folder / name), options) as writer:
            for number in numbers:
                writer.write(example(number).SerializeToString())
    return folder


@pytest.mark.parametrize("key", [None, "id"])
def test_gzipped_and_plain_tfrecords_get_the_stock_components_splits(records, key):
    found = example_gens.ours(records, key, format="tfrecord", block_bytes=500)
    assert found.rows() == example_gens.stock_import(records, key).rows()
    assert len(found.report["splits"]) == 3
    rows: collections.Counter = sum(found.rows().values(), collections.Counter())
    wanted = [example(number).SerializeToString(deterministic=True) for number in range(300)]
    assert rows == collections.Counter(wanted)


@pytest.mark.parametrize("offset", [3, 14, 400, -2])
def test_a_damaged_record(records, offset):
    (records / "b.tfrecord.gz").unlink()
    content = bytearray((records / "a.tfrecord").read_bytes())
    content[offset] ^= 1
    (records / "a.tfrecord").write_bytes(content)
    with pytest.raises(BadTable, match=r"a.tfrecord: record \d+ is damaged or truncated; copy"):
        example_gens.ours_without_beam(records / "a.tfrecord", format="tfrecord", block_bytes=500)


def test_records_that_are_not_examples(records):
    with tf.io.TFRecordWriter(str(records / "a.tfrecord")) as writer:
        writer.write(b"no example")
    with pytest.raises(BadTable, match="a.tfrecord: one of the records 1 to 1 is not a tf"):
        example_gens.ours(records, format="tfrecord")
