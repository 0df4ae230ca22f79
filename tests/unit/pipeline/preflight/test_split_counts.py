"""Tests that the rows counted before a run are those that ingestion puts into each split."""

import example_gens
import pyarrow as pa
import pyarrow.parquet
import pytest

from components.table_example_gen import Options
from components.tables import profile as profile_lib
from components.tables import reader
from components.tables.column_profile import Wanted
from pipeline.config import data_config
from pipeline.preflight import split_counts

ROWS = 200
COLUMNS = {
    "id": [f"h{number % 40}" for number in range(ROWS)],
    "zip": [98000 + number % 30 for number in range(ROWS)],
    "size": [None if number % 9 == 0 else number * 1.25 for number in range(ROWS)],
    "cost": [number * 7 % 50 for number in range(ROWS)],
}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("key", "most_rows"),
    [
        *((key, split_counts.MOST_ROWS) for key in (None, "id", "zip")),
        *((key, 0) for key in ("id", "zip")),  # counted by value
    ],
)
def test_counts_equal_ingestion(tmp_path, monkeypatch, suffix, key, most_rows):
    monkeypatch.setattr(split_counts, "MOST_ROWS", most_rows)
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        rows = zip(*COLUMNS.values())
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
        path.write_text("\n".join([",".join(COLUMNS), *lines]))
    else:
        pa.parquet.write_table(pa.table(COLUMNS), path)
    reading = Options(format=suffix).reading
    source = reader.open_table([str(path)], reading)
    wanted = {key: Wanted(values=True)} if key else {}
    profile = profile_lib.profile(source, [str(path)], wanted)
    kinds = {name: column.kind for name, column in profile.columns.items()}
    shares = data_config.Splits(**example_gens.SPLITS, key=key)
    counted = split_counts.count(shares, source, [str(path)], kinds, profile, ["cost"])
    made = example_gens.ours_without_beam(path, key, format=suffix)
    assert counted.rows == {name: sum(rows.values()) for name, rows in made.items()}
    assert counted.constants == {}


class TestLongTables:
    """Tests that rows beyond `MOST_ROWS` are only read while a split lacks rows or values."""

    @pytest.fixture
    def count(self, tmp_path, monkeypatch):
        monkeypatch.setattr(split_counts, "MOST_ROWS", 50)

        def call(rows, **shares):
            path = tmp_path / "t.csv"
            path.write_text("\n".join(["size,cost", *(f"{size},{cost}" for size, cost in rows)]))
            reading = Options(format="csv").reading
            source = reader.open_table([str(path)], reading, block_bytes=200)
            profile = profile_lib.profile(source, [str(path)], {})
            kinds = {name: column.kind for name, column in profile.columns.items()}
            splits = data_config.Splits(**{**example_gens.SPLITS, **shares})
            return split_counts.count(splits, source, [str(path)], kinds, profile, ["cost"])

        return call

    def test_rows_that_repeat_leave_a_split_empty(self, count):
        counted = count([(number % 2, number % 2) for number in range(1_000)])
        assert sum(counted.rows.values()) == 1_000
        assert 0 in counted.rows.values()

    def test_a_small_share_is_counted_to_the_end(self, count):
        rows = [(number, number % 7) for number in range(1_000)]
        counted = count(rows, train=998, eval=1, test=1)
        assert sum(counted.rows.values()) == 1_000
        assert counted.rows["eval"] < split_counts.FEW_ROWS

    def test_a_label_that_rarely_varies_is_counted_to_the_end(self, count):
        counted = count([(number, number == 999) for number in range(1_000)])
        assert sum(counted.rows.values()) == 1_000

    def test_enough_rows_in_every_split_end_the_count(self, count):
        counted = count([(number, number % 7) for number in range(1_000)])
        assert sum(counted.rows.values()) < 1_000
        assert min(counted.rows.values()) >= split_counts.FEW_ROWS
