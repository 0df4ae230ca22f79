"""The one reader of tables: preflight, ingestion and `predict` open their files with it.

`open_table` returns a `components.tables.table.Table` for CSV, Parquet and TFRecord files alike:
the names of its columns, its pieces, and their rows in typed blocks.
"""

from components.tables.reader.opening import open_table

__all__ = ["open_table"]
