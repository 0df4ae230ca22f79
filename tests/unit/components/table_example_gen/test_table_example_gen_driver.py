"""Tests that a table counts as changed if its rows have, whatever its size and time."""

import os
from unittest import mock

import pytest
from tfx.proto import example_gen_pb2

from components.table_example_gen import TableExampleGen, driver


def fingerprint(folder, pattern="*.csv") -> str:
    processor = driver.Driver(mock.Mock()).get_input_processor(
        [example_gen_pb2.Input.Split(name="all", pattern=pattern)], None, str(folder)
    )
    return processor.get_input_fingerprint(*processor.resolve_span_and_version())


@pytest.fixture
def table(tmp_path):
    for name in ("1.csv", "2.csv"):
        (tmp_path / name).write_text(f"x\n{name[0]}\n")
        os.utime(tmp_path / name, (1000, 1000))
    return tmp_path


def replaced(file, text: str) -> None:
    """Overwrites a file, but keeps its size and time."""
    before = file.stat()
    file.write_text(text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert file.stat().st_size == before.st_size


def test_a_table_of_the_same_size_and_time_is_recognized_as_changed(table):
    before = fingerprint(table)
    replaced(table / "1.csv", "x\n7\n")
    assert fingerprint(table) != before
    replaced(table / "1.csv", "x\n1\n")
    assert fingerprint(table) == before


def test_swapped_files_are_recognized_as_changed(table):
    before = fingerprint(table)
    replaced(table / "1.csv", "x\n2\n")
    replaced(table / "2.csv", "x\n1\n")
    assert fingerprint(table) != before


def test_a_copied_table_is_unchanged(table):
    before = fingerprint(table)
    os.utime(table / "1.csv", (2000, 2000))
    (table / "notes.txt").write_text("no part of it")
    assert fingerprint(table) == before
    (table / "3.csv").write_text("x\n")
    assert fingerprint(table) != before


@pytest.mark.parametrize("pattern", ["*", "*/*"])
def test_hidden_files_do_not_count(tmp_path, pattern):
    folder = tmp_path / ("town=Ash" if "/" in pattern else "")
    folder.mkdir(exist_ok=True)
    (folder / "1.csv").write_text("x\n1\n")
    before = fingerprint(tmp_path, pattern)
    for name in ("_SUCCESS", ".1.csv.crc", ".DS_Store"):
        (folder / name).write_text("")
    assert fingerprint(tmp_path, pattern) == before
    (folder / "2.csv").write_text("x\n1\n")
    assert fingerprint(tmp_path, pattern) != before


def test_only_the_newest_span_counts(tmp_path):
    for span in (1, 2):
        (tmp_path / f"day-{span}.csv").write_text("x\n1\n")
    before = fingerprint(tmp_path, "day-{SPAN}.csv")
    (tmp_path / "day-1.csv").write_text("x\n2\n")
    assert fingerprint(tmp_path, "day-{SPAN}.csv") == before
    (tmp_path / "day-2.csv").write_text("x\n2\n")
    assert fingerprint(tmp_path, "day-{SPAN}.csv") != before


def test_the_component_has_this_driver():
    assert TableExampleGen.DRIVER_CLASS is driver.Driver
