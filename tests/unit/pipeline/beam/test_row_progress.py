"""Tests of the row counts reported while a step reads."""

import re
import threading

import apache_beam as beam
import pytest

from components.example_io import counters
from pipeline.beam import row_progress
from pipeline.config.beam_config import Beam
from pipeline.graph import beam_args

TOLD = threading.Event()
"""A module global, because Beam pickles the functions it runs and events cannot be pickled."""


class Reads(beam.DoFn):
    """A DoFn that reads two, five and three rows, and waits for a report between them."""

    def process(self, count):
        counters.expect(10)
        counters.read(2)
        assert TOLD.wait(timeout=30)
        TOLD.clear()
        counters.read(5)
        assert TOLD.wait(timeout=30)
        counters.read(3)


def run(*steps) -> None:
    with beam.Pipeline(argv=beam_args.for_components(Beam())) as pipeline:
        collection = pipeline | beam.Create([1])
        for step in steps:
            collection = collection | step


@pytest.mark.parametrize("to_read, total", [(0, "10"), (1000, "1,000")])
def test_rows_and_remaining_time_are_reported(to_read, total):
    TOLD.clear()
    reports: list[str] = []

    def report(text: str) -> None:
        reports.append(text)
        if text == "2 rows" or text.startswith("7 of"):
            TOLD.set()

    with row_progress.reporting(report, to_read):
        run(beam.ParDo(Reads()))
    assert reports[0] == "2 rows"
    first = next(text for text in reports if text.startswith("7"))
    match = re.fullmatch(rf"7 of {total} rows, (\d+) s left", first)
    # Five rows took half a second: three take less, and a thousand take about a hundred seconds.
    assert match and (int(match[1]) <= 1 if not to_read else 50 <= int(match[1]) <= 500)
    assert reports[-1] == "10 rows"


def test_the_rows_of_all_stages_are_counted():
    reports: list[str] = []
    with row_progress.reporting(reports.append):
        run(
            beam.Map(counters.read),
            beam.Map(lambda unused: 3),
            beam.Reshuffle(),
            "again" >> beam.Map(counters.read),
        )
    assert reports[-1] == "4 rows"


def test_a_step_without_rows_reports_nothing():
    reports: list[str] = []
    with row_progress.reporting(reports.append, 5):
        run(beam.Map(lambda one: one))
    assert reports == []
