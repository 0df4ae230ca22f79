"""Beam's counters of rows, by which a step can be asked how far it is."""

from apache_beam.metrics import Metrics

FOUND, READ = "rows_found", "rows_read"
"""Their names."""


def found(rows: int) -> None:
    """Adds to the number of rows that the step will read."""
    Metrics.counter(__name__, FOUND).inc(rows)


def read(rows: int) -> None:
    """So many more are read; of those that a step reads twice, once more."""
    Metrics.counter(__name__, READ).inc(rows)
