"""The rows that are counted before a run are those that ingestion puts into each split."""

import example_gens
import pyarrow as pa
import pyarrow.parquet
import pytest

from components.table_example_gen import Options
from components.tables import profile as profile_lib
from components.tables import sources
from components.tables.profile import Wanted
from pipeline import data_config, split_counts

ROWS = 200
COLUMNS = {
    "id": [f"h{number % 40}" for number in range(ROWS)],
    "zip": [98000 + number % 30 for number in range(ROWS)],
    "size": [None if number % 9 == 0 else number * 1.25 for number in range(ROWS)],
    "cost": [number * 7 % 50 for number in range(ROWS)],
}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("key", [None, "id", "zip"])
@pytest.mark.parametrize("most_rows", [split_counts.MOST_ROWS, 0])
def test_what_is_counted_is_what_is_ingested(tmp_path, monkeypatch, suffix, key, most_rows):
    monkeypatch.setattr(split_counts, "MOST_ROWS", most_rows)
    path = tmp_path / f"t.{suffix}"
    if suffix == "csv":
        rows = zip(*COLUMNS.values())
        lines = [",".join("" if cell is None else str(cell) for cell in row) for row in rows]
        path.write_text("\n".join([",".join(COLUMNS), *lines]))
    else:
        pa.parquet.write_table(pa.table(COLUMNS), path)
    reading = Options(format=suffix).reading
    source = sources.open_table([str(path)], reading)
    wanted = {key: Wanted(values=True)} if key else {}
    profile = profile_lib.profile(source, [str(path)], wanted)
    kinds = {name: column.kind for name, column in profile.columns.items()}
    shares = data_config.Splits(**example_gens.SPLITS, key=key)
    counted = split_counts.count(shares, source, [str(path)], kinds, profile, ["cost"])
    if not most_rows and not key:
        assert counted is None
        return
    assert counted is not None
    made = example_gens.ours_without_beam(path, key, format=suffix)
    assert counted.rows == {name: sum(rows.values()) for name, rows in made.items()}
    assert counted.constants == {}
