"""Sources of tables in any format."""

from collections.abc import Mapping, Sequence

from components.tables import csv_file, parquet_file, partitions
from components.tables.csv_rows import CsvSource
from components.tables.table import BadTable, Kind, Reading, Source, TableSource

BLOCK_BYTES = 4 << 20


def open_source(
    files: Sequence[str],
    reading: Reading,
    kinds: Mapping[str, Kind] | None = None,
    block_bytes: int = BLOCK_BYTES,
    folder: str | None = None,
) -> Source:
    """Opens the files of a table, and checks the first bytes and the columns of each.

    Args:
        files: paths, as `files.matching` lists them.
        reading: how the files are read.
        kinds: kinds of columns, where known; the others are inferred. For CSV and partitions only.
        block_bytes: how much of a file is read at once.
        folder: folder below which the names of folders (`town=Ash`) are read as columns, if any.

    Raises:
        BadTable: a file is in another format, or the files do not have the same columns.
    """
    partition_columns = {} if folder is None else partitions.columns(files, folder)
    if reading.format == "tfrecord":
        from components.tables import tfrecord_file

        if any(partition_columns.values()):
            raise BadTable(
                f"{files[0]}: columns in the names of folders are read for csv and parquet only; "
                "name the files by a pattern that begins below these folders"
            )
        return tfrecord_file.open_source(files, block_bytes)
    table = open_table(files, reading, kinds, block_bytes)
    return partitions.wrapped(table, partition_columns, reading, kinds)


def open_table(
    files: Sequence[str],
    reading: Reading,
    kinds: Mapping[str, Kind] | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> TableSource:
    """Opens CSV or Parquet files without partition columns, see `open_source`."""
    kinds = kinds or {}
    if reading.format == "parquet":
        return parquet_file.open_source(files, reading, block_bytes)
    names = _header(files, reading.encoding)
    known = {name: kind for name, kind in kinds.items() if name in names}
    return CsvSource(
        tuple(names),
        reading.encoding,
        block_bytes,
        known if len(known) == len(names) else None,
        tuple(reading.missing),
        tuple(reading.classes),
    )


def _header(files: Sequence[str], encoding: str) -> list[str]:
    """Returns the common header of all files, ignoring empty files, as Spark writes some."""
    headers = {file: csv_file.header(file, encoding) for file in files}
    headers = {file: names for file, names in headers.items() if names}
    if not headers:
        raise BadTable(f"{files[0]}: is empty; expected a header line and rows")
    first, names = next(iter(headers.items()))
    for file, other in headers.items():
        if other != names:
            raise BadTable(
                f"{file}:1: the columns are not those of {first}, in the same order; give every "
                "file the same header"
            )
    return names
