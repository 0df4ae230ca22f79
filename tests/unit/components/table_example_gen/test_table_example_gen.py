"""Tests that CSV files give CsvExampleGen's examples and splits, in blocks of any size.

Texts that only Python or only `components.tables.cell_values` reads as numbers are left out, as
CsvExampleGen reads them as Python does.
"""

import string

import example_gens
import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from components.tables import cell_values as values_lib
from components.tables.column_kinds import Held

ODD = {
    "plain": "id,price,city\n1,10.5,Rome\n2,11,Oslo\n3,12.25,\n",
    "quotes": 'id,text\n1,"a ""quoted"" word"\n2,"comma, comma"\n3,""\n4,"""all"""\n',
    "line ends in values": 'id,text\n1,"one\ntwo\n\nfour"\n2,"a,b\n"\n3,plain\n',
    "CRLF": 'id,text\r\n1,x\r\n2,"y\r\nz"\r\n\r\n3,w\r\n',
    "no line end at the end": "id,text\n1,x\n2,y",
    "blank lines": "id,text\n\n1,x\n\n\n2,y\n\n",
    "empty columns": "id,nothing,text\n1,,x\n2,,\n",
    "unicode": "id,größe,текст\n1,2.5,Çelik\n2,3.5,日本語\n",
    "int beyond 32 bits": "id,n\n1,2147483648\n2,-9223372036854775808\n3,9223372036854775807\n",
    "int beyond 64 bits": "id,n\n1,9223372036854775808\n2,5\n",
    "int beyond 64 bits among floats": "id,n\n1,12345678901234567890\n2,5.5\n",
    "int and float": "id,n\n1,1\n2,2.5\n3,\n",
    "float late": "id,n\n" + "1,1\n" * 200 + "2,1e3\n",
    "text late": "id,n\n" + "1,1\n" * 200 + "2,none\n",
    "text late among floats": "id,n\n" + "1,1.50\n" * 200 + "2,-\n",
    "leading zeros": "id,n\n1,007\n2,010\n",
    "zeros stay as written in text": "id,n\n1,007\n2,1.50\n3,x\n",
    "signs": "id,n\n1,+5\n2,-5\n3,-0\n",
    "spaces": "id,n,t\n1, 5,  a \n2,6 , b\n",
    "special floats": "id,n\n1,inf\n2,-Infinity\n3,1e400\n4,2.5\n5,1e-50\n",
    "a nan of C's": "id,n\n1,nan(1)\n2,2.5\n",
    "hexadecimal": "id,n\n1,0x10\n2,5\n",
    "truth": "id,a,b\n1,true,1\n2,false,0\n",
    "dates and times": "id,d,t\n1,2014-10-13,08:30\n2,2014-10-14,09:30\n",
    "a quote in an unquoted value": 'id,size\n1,5" x 6" pipe\n2,7\n',
    "one column": "n\n1\n2\n\n3\n",
    "NULL and NA are text": "id,a\n1,NULL\n2,NA\n3,null\n",
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("key", [None, "first"])
def test_examples_and_splits_equal_the_stock_components(tmp_path, name, key):
    file = tmp_path / "table.csv"
    file.write_bytes(ODD[name].encode())
    key = key and ODD[name].partition("\n")[0].strip().split(",")[0]
    expected = example_gens.stock_csv_without_beam(file, key)
    assert sum(sum(rows.values()) for rows in expected.values()) >= 2
    assert example_gens.ours_without_beam(file, key) == expected


@pytest.mark.parametrize("key", [None, "id"])
def test_whole_runs(tmp_path, key):
    folder = tmp_path / "table"
    folder.mkdir()
    for number in range(2):
        rows = "".join(f'{i},{i / 8},"city\n{i % 7}"\n' for i in range(number, 400, 2))
        (folder / f"{number}.csv").write_text(f"id,price,city\n{rows}")
    found = example_gens.ours(folder, key)
    assert found.rows() == example_gens.stock_csv(folder, key).rows()
    assert found.report["rows"] == 400
    assert len(found.files) > 12, "there are several shards of each split"


def is_plain(text: str) -> bool:
    """Returns whether Python and our reader agree on what a text is."""
    try:
        number = float(text)
    except ValueError:
        return True
    held = values_lib.held(text)
    # Unlike Python, our reader does not round large whole numbers with a point.
    return number == number and Held.TEXT not in held and Held.POINT not in held


numbers = st.integers(-(2**63), 2**63 - 1).map(str) | st.floats().map(str).filter(is_plain)
words = st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\n\0"), max_size=12
).filter(is_plain)
values = numbers | words | st.sampled_from(['"', '""', ",", '"\n"', "\n", " 1", "+1", "0x1", ""])


@st.composite
def tables(draw):
    width = draw(st.integers(1, 4))
    columns = draw(
        st.lists(st.sampled_from([numbers, values, words]), min_size=width, max_size=width)
    )
    rows = draw(st.lists(st.tuples(*columns), min_size=1, max_size=30))
    ends = draw(st.sampled_from(["\n", "\r\n"]))
    lines = [",".join(string.ascii_lowercase[:width])]
    for row in rows:
        # Without quotes an empty row of one column would be a blank line.
        always = width == 1
        cells = [f'"{v.replace(chr(34), chr(34) * 2)}"' if always or _odd(v) else v for v in row]
        lines.append(",".join(cells))
    return ends.join([*lines, ""])


def _odd(value: str) -> bool:
    return any(character in value for character in ',"\r\n')


@examples(60)
@given(text=tables(), size=st.integers(1, 200))
def test_any_table_in_blocks_of_any_size(tmp_path, text, size):
    file = tmp_path / "table.csv"
    file.write_bytes(text.encode())
    found = example_gens.ours_without_beam(file, block_bytes=size, shard_bytes=3 * size)
    assert found == example_gens.stock_csv_without_beam(file)
