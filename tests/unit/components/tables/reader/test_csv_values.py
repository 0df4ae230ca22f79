"""Tests that numbers and missing values are the same, however a CSV file is read."""

import math

import pyarrow as pa
import pytest
import table_rows
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from components.tables import cell_values, column_kinds, reader
from components.tables.column_kinds import Held, Kind
from components.tables.table import Reading

NONE = object()
FIELDS = {
    # text: the kind of a column that only contains it, and its values as INT and as FLOAT
    "3": (Kind.INT, 3, 3.0),
    "+3": (Kind.INT, 3, 3.0),
    "-0": (Kind.INT, 0, -0.0),
    "007": (Kind.INT, 7, 7.0),
    " 5\t": (Kind.INT, 5, 5.0),
    "3.0": (Kind.FLOAT, 3, 3.0),
    "3.": (Kind.FLOAT, 3, 3.0),
    "1e3": (Kind.FLOAT, 1000, 1000.0),
    "+.5": (Kind.FLOAT, NONE, 0.5),
    "1600000001.0": (Kind.INT, 1600000001, 1.6e9),
    "1.6e9": (Kind.FLOAT, 1600000000, 1.6e9),
    "9007199254740993.0": (Kind.INT, 9007199254740993, 9007199254740992.0),
    "9223372036854775807": (Kind.INT, 2**63 - 1, 2.0**63),
    "9223372036854775808": (Kind.BYTES, NONE, 2.0**63),
    "1e400": (Kind.FLOAT, NONE, math.inf),
    "-Infinity": (Kind.FLOAT, NONE, -math.inf),
    "+inf": (Kind.FLOAT, NONE, math.inf),
    "nan": (Kind.UNKNOWN, None, None),
    "NaN": (Kind.UNKNOWN, None, None),
    "-nan": (Kind.UNKNOWN, None, None),
    "True": (Kind.BYTES, 1, 1.0),
    "false": (Kind.BYTES, 0, 0.0),
    "yes": (Kind.BYTES, NONE, NONE),
    "0001_01": (Kind.BYTES, NONE, NONE),
    "1_0.5": (Kind.BYTES, NONE, NONE),
    "٣": (Kind.BYTES, NONE, NONE),
    "\xa05": (Kind.BYTES, NONE, NONE),
    "5\x0b": (Kind.BYTES, NONE, NONE),
    "0x10": (Kind.BYTES, NONE, NONE),
    "nan(1)": (Kind.BYTES, NONE, NONE),
    "1d5": (Kind.BYTES, NONE, NONE),
    "1,5": (Kind.BYTES, NONE, NONE),
    "+-1": (Kind.BYTES, NONE, NONE),
    ".": (Kind.BYTES, NONE, NONE),
    " ": (Kind.BYTES, NONE, NONE),
    "NA": (Kind.BYTES, NONE, NONE),
    "\uff11": (Kind.BYTES, NONE, NONE),
}


def csv_of(path, fields, **options):
    lines = "".join(f'"{field.replace(chr(34), chr(34) * 2)}",x\n' for field in fields)
    path.write_text(f"n,more\n{lines}", encoding="utf-8")
    return reader.open_table([str(path)], Reading("csv", **options), block_bytes=1 << 12)


def kind_of(source, path):
    return table_rows.kinds_of(source, [path])["n"]


def read(source, path, kind):
    """Returns the values, and the lines of bad rows."""
    found, bad = [], []
    for rows in table_rows.read(source, [path], {"n": kind, "more": Kind.BYTES}):
        for values_of_row in rows.batch.column("n").to_pylist():
            found.append(values_of_row[0] if values_of_row else None)
        bad += [row.line for row in rows.bad]
    return found, bad


def same(found, expected):
    if isinstance(expected, float) and found is not None:
        expected = pa.array([expected], pa.float32())[0].as_py()
    return repr(found) == repr(expected)


# Other values in the block decide how Arrow reads it, or whether only Python can.
BESIDE = {"alone": [], "beside a number": ["1"], "beside a sign": ["+1"], "beside nan": ["nan"]}


@pytest.mark.parametrize("beside", BESIDE)
@pytest.mark.parametrize("text", FIELDS)
def test_a_field_has_the_same_value_whatever_is_beside_it(tmp_path, text, beside):
    kind, whole, number = FIELDS[text]
    path = tmp_path / "t.csv"
    source = csv_of(path, [text, *BESIDE[beside]])
    if beside in ("alone", "beside nan"):
        assert kind_of(source, path) == kind
    else:
        least = column_kinds.Held.WHOLE | cell_values.held(text)
        assert kind_of(source, path) == least.kind
    for wanted, expected in ((Kind.INT, whole), (Kind.FLOAT, number)):
        found, bad = read(source, path, wanted)
        assert bad == ([2] if expected is NONE else [])
        if expected is not NONE:
            assert same(found[0], expected)


@given(
    fields=st.lists(
        st.sampled_from(list(FIELDS))
        | st.integers(-(2**65), 2**65).map(str)
        | st.floats().map(str)
        | st.decimals(-(10**20), 10**20).map(str),
        min_size=1,
        max_size=12,
    ),
    size=st.integers(1, 60),
)
@examples(150)
def test_inferred_kinds_can_be_read_in_blocks_of_any_size(tmp_path, fields, size):
    """The values are the same as when Python reads them one by one."""
    path = tmp_path / "t.csv"
    csv_of(path, fields)
    source = reader.open_table([str(path)], Reading("csv"), block_bytes=size)
    kind = kind_of(source, path)
    expected_kind = Held.NOTHING
    for field in fields:
        expected_kind |= cell_values.held(field)
    assert kind == expected_kind.kind
    found, bad = read(source, path, kind)
    assert not bad
    if kind in (Kind.INT, Kind.FLOAT):
        expected = [cell_values.parse_number(field, kind) for field in fields]
        assert [repr(value) for value in found] == [
            repr(pa.array([value], pa.float32())[0].as_py() if kind == Kind.FLOAT else value)
            for value in expected
        ]
    elif kind == Kind.BYTES:
        assert [value.decode() for value in found] == fields


@pytest.mark.parametrize("fields", [["NA", "3", "?"], ["NA", "+3", "?"], ["NA", "x", "?"]])
def test_words_for_missing_values(tmp_path, fields):
    path = tmp_path / "t.csv"
    source = csv_of(path, fields, missing=["NA", "?"])
    kind = kind_of(source, path)
    assert kind == (Kind.BYTES if fields[1] == "x" else Kind.INT)
    found, bad = read(source, path, kind)
    assert found == [None, b"x" if fields[1] == "x" else 3, None]
    assert not bad


def test_words_for_missing_values_where_rows_are_read_one_by_one(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('n,more\nNA,x\n5,x\n1,2,3\n"?",NA\n')
    source = reader.open_table([str(path)], Reading("csv", missing=["NA", "?"]))
    found, bad = read(source, path, Kind.INT)
    assert (found, bad) == ([None, 5, None], [4])


WHOLE_COLUMNS = {
    "seconds with a point": (["1600000000.0", "1600000064.0", "1600000003.0"], Kind.INT),
    "small ones with a point": (["3.0", "4.0"], Kind.FLOAT),
    "some large": (["3.0", "16777217"], Kind.INT),
    "large but even": (["16777218.0", "3.0"], Kind.FLOAT),
    "a fraction among them": (["1600000001.0", "0.5"], Kind.FLOAT),
    "missing ones among them": (["1600000001.0", "", "nan"], Kind.INT),
    "half a second": (["1600000001.5"], Kind.FLOAT),
    "beyond 64 bits": (["1e30", "1600000001.0"], Kind.FLOAT),
}


@pytest.mark.parametrize("name", WHOLE_COLUMNS)
def test_whole_numbers_that_floats_would_round(tmp_path, name):
    fields, kind = WHOLE_COLUMNS[name]
    path = tmp_path / "t.csv"
    source = csv_of(path, fields)
    assert kind_of(source, path) == kind
    if kind == Kind.INT:
        found, _ = read(source, path, kind)
        wanted = [int(float(field)) if field not in ("", "nan") else None for field in fields]
        assert found == wanted
