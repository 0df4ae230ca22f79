"""An ExampleGen for CSV, Parquet and TFRecord files that works column by column throughout."""

from components.table_example_gen.component import TableExampleGen
from components.table_example_gen.executor import QUARANTINED, rows_of
from components.table_example_gen.options import Options
from components.table_example_gen.shards import QUARANTINE
from components.tables.table import BadTable

__all__ = [
    "QUARANTINE",
    "QUARANTINED",
    "BadTable",
    "Options",
    "TableExampleGen",
    "rows_of",
]
