"""Beam counters of rows, which show the progress of a step."""

from apache_beam.metrics import Metrics

EXPECTED, READ = "rows_expected", "rows_read"
"""Names of the counters."""


def expect(rows: int) -> None:
    """Adds to the number of rows that the step will read."""
    Metrics.counter(__name__, EXPECTED).inc(rows)


def read(rows: int) -> None:
    """Adds to the number of rows read; a step that reads a row twice counts it twice."""
    Metrics.counter(__name__, READ).inc(rows)
