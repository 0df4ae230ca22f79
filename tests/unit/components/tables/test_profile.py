"""Tests of the profile from one pass over a table, by Arrow or row by row."""

import dataclasses
import datetime
import math
import pathlib
import statistics
import tempfile

import pyarrow as pa
import pyarrow.parquet
import pytest
import table_rows
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from components.tables import column_profile, reader
from components.tables import profile as profile_lib
from components.tables.column_kinds import Held, Kind
from components.tables.column_profile import Misfits, Sighting, Wanted
from components.tables.reader.csv_table import CsvTable
from components.tables.table import Reading


@pytest.fixture
def profile(tmp_path):
    def make(text, wanted=None, classes=(), block_bytes=4 << 20):
        path = tmp_path / "t.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        source = reader.open_table(
            [str(path)], Reading("csv", classes=classes), block_bytes=block_bytes
        )
        return profile_lib.profile(source, [str(path)], wanted or {})

    return make


def numbered(values, header="id,x"):
    return "\n".join([header, *(f"{number},{value}" for number, value in enumerate(values))]) + "\n"


def test_a_column_of_numbers_with_few_words(profile, tmp_path):
    values = ["NA" if number in (3, 7) else f"{number}.5" for number in range(20)]
    column = profile(numbered(values)).columns["x"]
    assert (column.kind, column.is_text, column.present) == (Kind.BYTES, False, 20)
    assert column.words == Misfits(2, Sighting("NA", f"{tmp_path / 't.csv'}:5"))


def test_words_and_numbers_in_other_blocks(profile):
    """Blocks with numbers only are read as numbers, others as text."""
    values = [str(number) for number in range(400)] + ["?"] + ["1.5"] * 400
    column = profile(numbered(values), block_bytes=1000).columns["x"]
    assert (column.kind, column.words.count) == (Kind.BYTES, 1)
    assert column.words.first.value == "?"
    assert column.words.first.location.endswith(":402")
    assert (column.low, column.high) == (0, 399)


def test_words_of_a_text_column_are_not_counted_to_the_end(profile):
    column = profile(numbered(["word"] * 500), block_bytes=1000).columns["x"]
    assert column.is_text
    assert column.words.first.value == "word"


def test_gaps_extremes_and_moments(profile, tmp_path):
    numbers = [3.0, 8.0, -2.5, 7.0, 1.0]
    text = numbered([*numbers[:2], "", *numbers[2:]])
    column = profile(text, {"x": Wanted(located=True)}).columns["x"]
    assert (column.missing, column.first_gap) == (1, f"{tmp_path / 't.csv'}:4")
    assert (column.low, column.low_at[-2:], column.high, column.high_at[-2:]) == (
        -2.5,
        ":5",
        8,
        ":3",
    )
    assert column.mean == pytest.approx(statistics.fmean(numbers))
    assert column.deviation == pytest.approx(statistics.pstdev(numbers))


def test_moments_over_blocks_equal_moments_of_the_whole(profile):
    numbers = [1.6e9 + number % 7 for number in range(2000)]
    text = numbered([f"{number:.1f}" for number in numbers])
    column = profile(text, {"x": Wanted(located=True)}, block_bytes=500).columns["x"]
    assert column.deviation == pytest.approx(statistics.pstdev(numbers), rel=1e-9)


@pytest.mark.parametrize("word", ["nan", "inf", "-inf"])
def test_values_that_are_not_finite(profile, word):
    column = profile(numbered([1.5, word, 2.5]), {"x": Wanted(located=True)}).columns["x"]
    assert (column.kind, column.low, column.high) == (Kind.FLOAT, 1.5, 2.5)
    assert (column.missing, column.not_finite) == ((1, 0) if word == "nan" else (0, 1))
    assert column.first_not_finite.value == word
    assert column.first_not_finite.location.endswith(":3")


def test_line_numbers_count_quoted_line_ends_and_blank_lines(profile):
    text = 'id,x\n1,"a\nb\nc"\n\n\n2,d\n3,\n'
    column = profile(text, {"x": Wanted(located=True, values=True)}).columns["x"]
    assert column.first_gap.endswith(":8")
    assert {text: found.first.location[-2:] for text, found in column.values.items()} == {
        "a\nb\nc": ":2",
        "d": ":7",
    }


def test_the_locations_of_many_values(profile):
    values = [f"v{number % 3000}" for number in range(9000)]
    found = profile(numbered(values), {"x": Wanted(values=True)}).columns["x"].values
    assert all(own.first.location.endswith(f":{int(text[1:]) + 2}") for text, own in found.items())
    assert {own.count for own in found.values()} == {3}


def test_distinct_values_are_counted_up_to_a_cap(profile, monkeypatch):
    text = numbered(["b", "a", "b", "", "c"])
    wanted = {"x": Wanted(values=True)}
    values = profile(text, wanted).columns["x"].values
    assert {text: found.count for text, found in values.items()} == {"b": 2, "a": 1, "c": 1}
    monkeypatch.setattr(column_profile, "MOST_VALUES", 2)
    assert profile(text, wanted).columns["x"].values is None


def test_misfits_of_a_pattern(profile):
    text = numbered([1, 2, 0, 1, 3])
    column = profile(text, {"x": Wanted(pattern="0|1")}).columns["x"]
    assert (column.kind, column.misfits.count) == (Kind.INT, 2)
    assert column.misfits.first.value == "2"
    assert column.misfits.first.location.endswith(":3")


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["1", "2", "-3"], Kind.INT),
        (["0.0", "1.0"], Kind.BYTES),
        (["1", "2.5"], Kind.BYTES),
        (["007", "8"], Kind.BYTES),
        (["+1", "2"], Kind.BYTES),
        (["a", "b"], Kind.BYTES),
        (["", ""], Kind.UNKNOWN),
    ],
)
@pytest.mark.parametrize("torn", [b"", b"9,\0\n"])
def test_kinds_of_class_columns(tmp_path, values, kind, torn):
    path = tmp_path / "t.csv"
    path.write_bytes(numbered(values).encode() + torn)
    source = CsvTable(("id", "x"), Reading("csv", classes=("x",)), 1 << 20)
    assert table_rows.kinds_of(source, [path])["x"] == kind
    found = profile_lib.profile(source, [str(path)], {"x": Wanted(values=True)})
    assert found.columns["x"].kind == kind
    assert found.bad_rows == bool(torn)


odd = ["", "inf", "nan", " 4", "0x1F", "a", '"b, c"', '"d\ne"', "é", "true", "2014-01-02", "1e400"]
value = st.one_of(
    st.sampled_from(["1", "2.5", "+3", "0", "-1", "007", "1e3", "9223372036854775808"]),
    st.sampled_from(odd),
)


@examples(200)
@given(st.lists(st.tuples(value, value), max_size=5), st.booleans())
def test_rows_parsed_one_by_one_have_the_profile_of_arrow(rows, as_text):
    """An unreadable row makes the reader parse the others one by one."""
    text = "x,y\n" + "".join(",".join(row) + "\n" for row in rows if row != ("", ""))
    wanted = {"x": Wanted(located=True, values=as_text, pattern="1|a" if as_text else "")}
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for ending in (b"", b"1,2,3\n"):
            path = pathlib.Path(folder) / "t.csv"
            path.write_bytes(text.encode() + ending)
            source = CsvTable(("x", "y"), Reading("csv"), 1 << 20)
            found.append(profile_lib.profile(source, [str(path)], wanted))
            kinds = table_rows.kinds_of(source, [path])
            for name, column in found[-1].columns.items():
                assert column.kind == kinds[name]
    by_arrow, by_row = found
    assert by_arrow.rows == by_row.rows
    if by_arrow.rows:
        # Not every reader notes how whole numbers among fractions are written; the kinds are
        # compared above. NaN is not equal to itself.
        plain = [
            [dataclasses.replace(own, held=Held.NOTHING) for own in found.columns.values()]
            for found in (by_arrow, by_row)
        ]
        assert repr(plain[0]) == repr(plain[1])


def test_parquet_is_profiled_in_its_own_types(tmp_path):
    path = tmp_path / "t.parquet"
    columns = {
        "whole": pa.array([1, None, 3]),
        "part": pa.array([0.5, math.nan, -1e39], pa.float64()),
        "truth": pa.array([True, False, None]),
        "text": pa.array(["a", "b", "a"]),
        "day": pa.array([datetime.date(2018, 1, 5)] * 3),
        "list": pa.array([[1.0], [], None], pa.list_(pa.float32())),
        "fixed": pa.array([[1.0, 2.0]] * 3, pa.list_(pa.float32(), 2)),
        "none": pa.nulls(3),
    }
    pa.parquet.write_table(pa.table(columns), path, row_group_size=2)
    source = reader.open_table([str(path)], Reading("parquet"))
    wanted = {
        "whole": Wanted(located=True),
        "truth": Wanted(values=True),
        "part": Wanted(located=True),
        "day": Wanted(pattern="2018.*"),
    }
    found = profile_lib.profile(source, [str(path)], wanted).columns
    assert (found["whole"].first_gap, found["whole"].high_at) == (
        f"{path}: row 2",
        f"{path}: row 3",
    )
    assert (found["part"].missing, found["part"].low_at) == (1, f"{path}: row 3")
    assert set(found["truth"].values or ()) == {"0", "1"}
    assert (found["day"].kind, found["day"].misfits) == (Kind.BYTES, None)
    assert (found["list"].is_list, found["list"].missing) == (True, 1)
    assert (found["fixed"].is_list, found["fixed"].missing) == (True, 0)
    assert (found["none"].kind, found["none"].present) == (Kind.UNKNOWN, 0)


def test_a_number_near_the_limit_of_floats_is_located_in_any_column(profile):
    column = profile(numbered([1.0, 1e39, 2.0])).columns["x"]
    assert (column.high, column.high_at[-2:], column.low_at) == (1e39, ":3", "")


@pytest.mark.parametrize(
    ("values", "truth"),
    [
        (["true", "false", ""], True),
        (["TRUE", "FALSE"], True),
        (["True", "False", ""], True),
        (["True", "True"], True),
        (["False"], True),
        (["true", "FALSE"], True),
        (["true", "True"], False),
        (["tRUE", "FALSE"], False),
        (["True", "False", "unknown"], False),
        (["", ""], False),
        (["True", "no"], False),
        (["true", "no"], False),
        (["1", "0"], False),
    ],
)
def test_columns_that_schema_gen_makes_boolean(profile, values, truth):
    assert profile(numbered(values)).columns["x"].is_boolean == truth


def test_profiling_can_stop_at_the_first_bad_row(tmp_path):
    paths = [str(tmp_path / f"{number}.csv") for number in range(3)]
    for path, row in zip(paths, ("1,2", "1,2,3", "1")):
        pathlib.Path(path).write_text(f"a,b\n{row}\n")
    source = reader.open_table(paths, Reading("csv"))
    stopped = profile_lib.profile(source, paths, {}, stop_at_bad_row=True)
    assert stopped.first_bad is not None
    assert (stopped.rows, stopped.bad_rows, stopped.first_bad.file) == (1, 1, paths[1])
    assert profile_lib.profile(source, paths, {}).bad_rows == 2
