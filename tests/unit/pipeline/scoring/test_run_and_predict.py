"""Tests that `predict` reads every table that a run accepts as exactly the same features."""

import json
import string

import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import table_rows
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from components.example_io import encoder
from components.tables import byte_arrays, reader
from components.tables.column_kinds import Kind
from components.tables.table import Reading
from models.features.export_inputs import Input
from pipeline.scoring import model_inputs
from pipeline.scoring import predict as predict_lib
from pipeline.scoring.exported_model import ExportedModel

DTYPES = {Kind.INT: "whole numbers", Kind.FLOAT: "numbers", Kind.BYTES: "text"}


def of_a_run(path, reading, size) -> tuple[dict, list[bytes]]:
    """Returns the columns that a model trained on a file reads, and the rows' encoded features."""
    source = reader.open_table([str(path)], reading, block_bytes=size)
    kinds = table_rows.kinds_of(source, [path])
    blocks = table_rows.read(source, [path], kinds)
    assert not any(rows.bad for rows in blocks)
    batches = [rows.batch for rows in blocks]
    inputs = {}
    for name, kind in kinds.items():
        if kind == Kind.UNKNOWN:
            continue
        columns = [batch.column(name) for batch in batches]
        lengths = {length for column in columns for length in lengths_of(column)}
        is_sequence = any(length and length > 1 for length in lengths)
        inputs[name] = Input(name, DTYPES[kind], bool(lengths & {None, 0}), is_sequence)
    return inputs, encoded([of_inputs(batch, inputs) for batch in batches])


def lengths_of(column):
    return [None if values is None else len(values) for values in column.to_pylist()]


def of_inputs(batch, inputs):
    return pa.RecordBatch.from_pydict({name: batch.column(name) for name in inputs})


def encoded(batches) -> list[bytes]:
    return [text for batch in batches for text in byte_arrays.texts(encoder.encode(batch))]


def of_predict(path, reading, inputs, monkeypatch, size) -> list[bytes]:
    monkeypatch.setattr(predict_lib, "_BLOCK_BYTES", size)
    model = ExportedModel(path, (), inputs, tuple(inputs), None)
    source = predict_lib._open_table([str(path)], reading, model)
    blocks = predict_lib._blocks(source, [str(path)], model, reading.format == "parquet")
    return encoded([model_inputs.features(block, source.names, inputs) for block in blocks])


FIELDS = [
    *(
        "",
        "1",
        "+1",
        "-0",
        "007",
        " 5",
        "5.0",
        "2.50",
        ".5",
        "1e3",
        "1e-400",
        "1e400",
        "nan",
        "NaN",
    ),
    *(
        "inf",
        "-Infinity",
        "True",
        "false",
        "yes",
        "0001_01",
        "1_0",
        "٣",
        "0x10",
        "nan(1)",
        "NA",
        "?",
    ),
    *("1600000001.0", "1600000001.5", "9007199254740993", "9007199254740993.0", "16777217"),
    *("9223372036854775808", "2014-10-13", "08:30", "[1, 2]", 'a "b"', "x,y", "two\nlines", "ü"),
]
fields = (
    st.sampled_from(FIELDS)
    | st.integers(-(2**65), 2**65).map(str)
    | st.floats().map(str)
    | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\0"), max_size=5)
)
few = st.lists(st.sampled_from(FIELDS), min_size=1, max_size=3).flatmap(st.sampled_from)


@st.composite
def tables(draw):
    width = draw(st.integers(1, 4))
    columns = draw(st.lists(st.sampled_from([fields, few]), min_size=width, max_size=width))
    rows = draw(st.lists(st.tuples(*columns), min_size=1, max_size=20))
    quoted = [",".join(f'"{field.replace(chr(34), chr(34) * 2)}"' for field in row) for row in rows]
    return "\n".join([",".join(string.ascii_lowercase[:width]), *quoted, ""])


@given(
    text=tables(), sizes=st.tuples(st.integers(1, 200), st.integers(1, 200)), words=st.booleans()
)
@examples(100)
def test_any_csv(tmp_path, monkeypatch, text, sizes, words):
    path = tmp_path / "t.csv"
    path.write_text(text, encoding="utf-8", newline="")
    reading = Reading("csv", missing=("NA", "?") if words else ())
    inputs, expected = of_a_run(path, reading, sizes[0])
    if inputs:
        assert of_predict(path, reading, inputs, monkeypatch, sizes[1]) == expected


MADE = {
    "whole": st.integers(-(2**63), 2**63 - 1),
    "number": st.floats() | st.just(1600000001.0),
    "truth": st.booleans(),
    "text": st.text(max_size=5) | st.just("NA"),
    "unsigned": st.integers(0, 2**64 - 1),
    "lists": st.lists(st.floats(width=32), min_size=2, max_size=3),
}
TYPES = {"unsigned": pa.uint64(), "lists": pa.list_(pa.float64()), "number": pa.float64()}


@given(data=st.data(), size=st.integers(1, 200))
@examples(50)
def test_any_parquet(tmp_path, monkeypatch, data, size):
    path = tmp_path / "t.parquet"
    rows = data.draw(st.integers(1, 6))
    columns = {}
    for name, values in MADE.items():
        column = data.draw(st.lists(st.none() | values, min_size=rows, max_size=rows))
        columns[name] = pa.array(column, TYPES.get(name))
    pa.parquet.write_table(pa.table(columns), path, row_group_size=2)
    reading = Reading("parquet", missing=("NA",))
    inputs, expected = of_a_run(path, reading, size)
    assert of_predict(path, reading, inputs, monkeypatch, 1 << 10) == expected


def test_csv_and_parquet_of_the_same_frame(tmp_path, monkeypatch):
    frame = pd.DataFrame(
        {
            "size": [51.257, None, 3.0],
            "rooms": [5, 4, 3],
            "pool": [False, True, False],
            "id": [1600000001.0, None, 16777217.0],
            "town": ["Ash", None, "NA"],
            "window": [[1.5, 2.0], [3.0], [0.1]],
        },
        index=[5, 3, 4],
    )
    parquet, csv = tmp_path / "t.parquet", tmp_path / "t.csv"
    frame.to_parquet(parquet)
    frame.assign(window=frame.window.map(json.dumps)).to_csv(csv, index=False)
    inputs, expected = of_a_run(parquet, Reading("parquet", missing=("NA",)), 1 << 20)
    assert {name: column.dtype for name, column in inputs.items()} == {
        "size": "numbers",
        "rooms": "whole numbers",
        "pool": "whole numbers",
        "id": "whole numbers",
        "town": "text",
        "window": "numbers",
    }
    reading = Reading("csv", missing=("NA",))
    assert of_predict(csv, reading, inputs, monkeypatch, 1 << 20) == expected


@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_dates_of_csv_and_parquet_agree(tmp_path, monkeypatch, zone):
    """Days agree, which is all the model reads; `to_csv` writes fewer digits of a second."""
    frame = pd.DataFrame({"sold": pd.to_datetime(["2020-01-18 23:30", "2019-10-17"], utc=True)})
    frame["sold"] = frame.sold.dt.tz_convert(zone)
    parquet, csv = tmp_path / "t.parquet", tmp_path / "t.csv"
    frame.to_parquet(parquet)
    frame.to_csv(csv, index=False)
    source = reader.open_table([str(parquet)], Reading("parquet"))
    (rows,) = table_rows.read(source, [parquet])
    days = [values[0][:10] for values in rows.batch.column("sold").to_pylist()]
    assert days == [b"2020-01-19" if zone else b"2020-01-18", b"2019-10-17"]
    assert [line[:10].encode() for line in csv.read_text().splitlines()[1:]] == days
