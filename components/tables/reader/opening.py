"""Opens tables in any format."""

from collections.abc import Collection, Mapping, Sequence

from components.tables.column_kinds import Kind
from components.tables.reader import csv_header, parquet_table, partitions
from components.tables.reader.csv_table import CsvTable
from components.tables.table import BadTable, Reading, Table

_BLOCK_BYTES = 4 << 20


def open_table(
    files: Sequence[str],
    reading: Reading,
    kinds: Mapping[str, Kind] | None = None,
    block_bytes: int = _BLOCK_BYTES,
    folder: str | None = None,
    partition_columns: Collection[str] | None = None,
) -> Table:
    """Opens the files of a table, and checks the first bytes and the columns of each.

    Args:
        files: paths, as `table_files.matching` lists them.
        reading: how the files are read.
        kinds: kinds of columns, where known; the others are inferred. For CSV and partitions only.
        block_bytes: how much of a file is read at once.
        folder: folder below which folder names (`town=Ash`) are read as columns, if any.
        partition_columns: the columns to read from folder names; by default all.

    Raises:
        BadTable: a file is in another format, or the files do not have the same columns.
    """
    by_file = {} if folder is None else partitions.columns(files, folder, partition_columns)
    if reading.format == "tfrecord":
        from components.tables.reader import tfrecord_table  # slow to import

        if any(by_file.values()):
            raise BadTable(
                f"{files[0]}: columns in folder names are read for csv and parquet only; "
                "name the files by a pattern that begins below these folders"
            )
        return tfrecord_table.open_table(files, block_bytes)
    table: Table
    if reading.format == "parquet":
        table = parquet_table.open_table(files, reading.missing, block_bytes)
    else:
        names = csv_header.common(files, reading.encoding)
        known = {name: kind for name, kind in (kinds or {}).items() if name in names}
        table = CsvTable(names, reading, block_bytes, known if len(known) == len(names) else None)
    return partitions.wrapped(table, by_file, reading, kinds)
