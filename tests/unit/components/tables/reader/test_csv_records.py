"""Tests of where records of CSV files end, and of long headers."""

import io

import pytest

from components.tables.reader import csv_header, csv_records
from components.tables.table import BadTable


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(csv_records, "LONGEST_RECORD", 1 << 18)


@pytest.mark.parametrize("rows", [10, 100_000])
@pytest.mark.parametrize("last", ["", '"3,4\r'])
def test_lines_that_end_with_carriage_returns_only(tmp_path, short, rows, last):
    path = tmp_path / "t.csv"
    path.write_text("a,b\r" + "1,2\r" * rows + last, newline="")
    with pytest.raises(BadTable) as caught:
        csv_header.header(str(path), "utf-8")
    assert str(caught.value) == f"{path}: lines end with CR alone; convert them (tr '\\r' '\\n')"


def test_a_quote_that_is_never_closed(tmp_path, short):
    path = tmp_path / "t.csv"
    path.write_text('a,b\n1,"2\r\n' + "1,2\r\n" * 100_000, newline="")
    assert csv_header.header(str(path), "utf-8") == ["a", "b"]
    with open(path, "rb") as file, pytest.raises(BadTable, match="t.csv:2: a quoted value"):
        list(csv_records.rows(file, 1 << 16, str(path)))


def test_a_long_header_is_read_in_growing_steps(tmp_path):
    sizes = []

    class Counted(io.BytesIO):
        def read(self, size=-1, /):
            sizes.append(size)
            return super().read(size)

    names = ",".join(f"column_{number}" for number in range(50_000))
    text = f"{names}\n{names}\n".encode()
    (block, *rest) = csv_records.blocks(Counted(text), 1 << 10, "t.csv")
    assert (block.rows + sum(other.rows for other in rest)) == 2
    assert len(sizes) < 20
    path = tmp_path / "t.csv"
    path.write_bytes(text)
    assert csv_header.header(str(path), "utf-8") == names.split(",")
