"""Tests of the ingestion benchmark: its table, and the summary of its measurements."""

import csv

from benchmarks import ingest, taxi_table


def test_the_table_has_the_requested_length_and_is_reproducible(tmp_path, monkeypatch):
    monkeypatch.setattr(taxi_table, "ROWS_AT_A_TIME", 40)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        taxi_table.write(tmp_path / name, 100, seed)
    first, second, other = ((tmp_path / name).read_text() for name in "abc")
    assert first == second != other
    rows = list(csv.DictReader(first.splitlines()))
    assert len(rows) == 100
    assert len(rows[0]) == ingest.COLUMNS
    assert len({tuple(row.values()) for row in rows}) == 100
    assert all(row["trip_start_timestamp"].isdigit() for row in rows)
    assert {row["dropoff_census_tract"] == "" for row in rows} == {True, False}


def test_ratios_are_relative_to_our_ingestion():
    def measured(way, cpu_s):
        memory = {"peak_rss_mb": 900, "imports_rss_mb": 700}
        return {"rows": 1000, "way": way, "cpu_s": cpu_s, "wall_s": 1, **memory}

    found = ingest.summary(
        [measured("ours", 2), measured("ours", 4), measured("stock", 30), measured("arrow", 1.5)]
    )
    by_way = {row["way"]: row for row in found}
    assert by_way["ours"]["cpu_s"] == 3
    assert by_way["ours"]["rows_per_cpu_s"] == 333
    assert by_way["stock"]["our_speed"] == 10
    assert by_way["arrow"]["our_speed"] == 0.5
