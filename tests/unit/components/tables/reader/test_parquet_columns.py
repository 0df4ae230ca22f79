"""Tests that each column of a Parquet file is read in its own type or refused by name."""

import datetime
import decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
import table_rows

from components.tables import reader
from components.tables.column_kinds import Kind
from components.tables.table import BadTable, Reading

PARQUET = Reading("parquet")


def opened(path, columns, **options):
    made = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pa.parquet.write_table(made, path, row_group_size=2)
    return reader.open_table([str(path)], Reading("parquet", **options), block_bytes=1)


def read(source, path, kinds=None):
    """Returns the kinds of the columns, and their values."""
    kinds = table_rows.kinds_of(source, [path]) if kinds is None else kinds
    columns: dict[str, list] = {name: [] for name in kinds}
    for rows in table_rows.read(source, [path], kinds):
        for name in kinds:
            lists = rows.batch.column(name).to_pylist()
            columns[name] += [(row or [None])[0] for row in lists]
    return kinds, columns


D = decimal.Decimal
COLUMNS = {
    "decimal without decimals": (
        pa.array([D(98178), None, D(-3)], pa.decimal128(38, 0)),
        (Kind.INT, [98178, None, -3]),
    ),
    "decimal of few digits": (pa.array([D(7)], pa.decimal128(5, 0)), (Kind.INT, [7])),
    "decimal beyond 64 bits": (
        pa.array([D(10**20), D(3)], pa.decimal128(38, 0)),
        (Kind.BYTES, [b"100000000000000000000", b"3"]),
    ),
    "decimal": (pa.array([D("1.25"), None], pa.decimal128(10, 2)), (Kind.FLOAT, [1.25, None])),
    "large whole decimal": (
        pa.array([D("1600000001.00")], pa.decimal128(12, 2)),
        (Kind.INT, [1600000001]),
    ),
    "NaN": (pa.array([1.5, float("nan"), None]), (Kind.FLOAT, [1.5, None, None])),
    "NaN of 32 bits": (pa.array([1.5, np.nan], pa.float32()), (Kind.FLOAT, [1.5, None])),
    "seconds as floats": (
        pa.array([1600000001.0, None, 1600000064.0, np.nan]),
        (Kind.INT, [1600000001, None, 1600000064, None]),
    ),
    "whole floats": (pa.array([3.0, 4.0]), (Kind.FLOAT, [3.0, 4.0])),
    "nothing": (pa.array([None, None], pa.float64()), (Kind.UNKNOWN, [None, None])),
    "infinite": (pa.array([np.inf, 1e30]), (Kind.FLOAT, [np.inf, np.float32(1e30).item()])),
    "unsigned": (pa.array([3, 2**40], pa.uint64()), (Kind.INT, [3, 2**40])),
    "unsigned beyond 63 bits": (
        pa.array([3, 2**63], pa.uint64()),
        (Kind.BYTES, [b"3", b"9223372036854775808"]),
    ),
    "boolean": (pa.array([True, None, False]), (Kind.INT, [1, None, 0])),
    "time with a zone": (
        pa.array([datetime.datetime(2020, 1, 18, 23, 30)], pa.timestamp("us", "Europe/Berlin")),
        (Kind.BYTES, [b"2020-01-19 00:30:00.000000+0100"]),
    ),
    "time of day": (pa.array([datetime.time(8, 30)]), (Kind.BYTES, [b"08:30:00.000000"])),
}


@pytest.mark.parametrize("name", COLUMNS)
def test_kind_and_values_of_each_type(tmp_path, name):
    column, expected = COLUMNS[name]
    path = tmp_path / "t.parquet"
    kinds, columns = read(opened(path, {"it": column}), path)
    assert (kinds["it"], columns["it"]) == expected


def test_durations_are_refused_by_name(tmp_path):
    column = pa.array([datetime.timedelta(seconds=90)])
    with pytest.raises(BadTable) as caught:
        opened(tmp_path / "t.parquet", {"it": column})
    assert str(caught.value).startswith(
        f"{tmp_path}/t.parquet: it: found durations (duration[us]); write them as a number of"
    )


def test_pandas_row_index_is_left_out_and_a_named_index_is_not(tmp_path):
    path = tmp_path / "t.parquet"
    frame = pd.DataFrame({"size": [1.5, 2.5]}, index=[7, 3])
    source = opened(path, pa.Table.from_pandas(frame))
    assert source.names == ("size",)
    assert source.notes == ("column __index_level_0__ is pandas' row index; it is left out",)
    assert read(source, path)[1] == {"size": [1.5, 2.5]}
    frame.index.name = "house"
    assert opened(path, pa.Table.from_pandas(frame)).names == ("size", "house")


def test_conversions_are_noted(tmp_path):
    source = opened(
        tmp_path / "t.parquet",
        {"price": COLUMNS["decimal"][0][:1], "at": COLUMNS["time of day"][0]},
    )
    assert source.notes == (
        "column price holds decimals (decimal128(10, 2)); they are read as floats",
        "column at holds times of day; they are read as text",
    )


def test_days_and_times_are_dates(tmp_path):
    source = opened(
        tmp_path / "t.parquet",
        {
            "day": pa.array([datetime.date(2020, 1, 18)]),
            "at": pa.array([datetime.datetime(2020, 1, 18, 15)]),
            "text": ["2020-01-18"],
            "clock": pa.array([datetime.time(8, 30)]),
        },
    )
    assert source.dates == {"day", "at"}


def test_words_for_missing_values(tmp_path):
    path = tmp_path / "t.parquet"
    columns = {"town": ["NA", "Ash"], "of": pa.array(["NA", "x"]).dictionary_encode()}
    source = opened(path, columns, missing=["NA"])
    assert read(source, path)[1] == {"town": [None, b"Ash"], "of": [None, b"x"]}


def test_a_column_with_different_types_in_several_files(tmp_path):
    for name, column in (("a", [3]), ("b", [1600000001.0]), ("c", pa.array([], pa.null()))):
        pa.parquet.write_table(pa.table({"n": column}), tmp_path / name)
    (tmp_path / "d").write_bytes(b"")
    paths = [str(tmp_path / name) for name in "abcd"]
    source = reader.open_table(paths, PARQUET)
    assert table_rows.kinds_of(source, paths) == {"n": Kind.INT}
    batches = [rows.batch.to_pydict() for rows in table_rows.read(source, paths)]
    assert batches == [{"n": [[3]]}, {"n": [[1600000001]]}]


@pytest.mark.parametrize(
    ("column", "kind", "expected"),
    [
        (pa.array([3, None]), Kind.BYTES, [b"3", None]),
        (pa.array([3.0, np.nan]), Kind.INT, [3, None]),
        (pa.array(["+3", "True", ""]), Kind.INT, [3, 1, None]),
        (pa.array(["1.5", "nan"]), Kind.FLOAT, [1.5, None]),
        (pa.array([True, False]), Kind.FLOAT, [1.0, 0.0]),
    ],
)
def test_a_column_read_as_another_kind(tmp_path, column, kind, expected):
    path = tmp_path / "t.parquet"
    assert read(opened(path, {"it": column}), path, {"it": kind})[1]["it"] == expected


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        (pa.array([2.5]), Kind.INT, "it: found .*2.5.*, expected whole numbers; convert"),
        (pa.array([2.5]), Kind.BYTES, "it: found fractional numbers, expected text; convert"),
        (pa.array(["x"]), Kind.FLOAT, "it: found 'x', expected numbers; convert the column"),
        (pa.array([2**63], pa.uint64()), Kind.INT, "it: found .*, expected whole numbers"),
        (pa.array([datetime.date(2020, 1, 1)]), Kind.INT, "it: found dates or times"),
    ],
)
def test_a_column_that_does_not_fit_the_kind(tmp_path, column, kind, message):
    path = tmp_path / "t.parquet"
    source = opened(path, {"it": column})
    with pytest.raises(BadTable, match=message):
        read(source, path, {"it": kind})
