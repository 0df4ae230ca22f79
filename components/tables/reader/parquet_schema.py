"""Columns of Parquet files, as their types and statistics describe them, without reading values."""

import collections
import dataclasses
import re
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet

from components.tables import cell_values, table_files
from components.tables.column_kinds import Held, Kind
from components.tables.reader import parquet_values
from components.tables.table import BadTable

_ROW_INDEX = re.compile(r"__index_level_\d+__")


def common(files: Sequence[str]) -> tuple[dict[str, "Column"], tuple[str, ...]]:
    """Returns the columns that all files have, ignoring empty ones, and notes for the user.

    Raises:
        BadTable: a file is not Parquet or is damaged, the files do not have the same columns, or a
            column has an unsupported type.
    """
    columns: dict[str, Column] = {}
    first = ""
    notes: dict[str, None] = {}
    for file in files:
        table_files.check_kind(file, "parquet")
        if table_files.is_empty(file):
            continue
        file_columns = _columns(file, notes)
        first = first or file
        for name in columns.keys() ^ file_columns.keys() if columns else ():
            where, other = (file, first) if name in file_columns else (first, file)
            raise BadTable(
                f"{other}: has no column {name}, which {where} has; give every file the same "
                "columns"
            )
        if not columns:
            columns = file_columns
        columns = {
            name: earlier.joined(name, file_columns[name], file, first)
            for name, earlier in columns.items()
        }
    if not columns:
        raise BadTable(f"{files[0]}: is empty; expected columns and rows")
    return columns, tuple(notes)


@dataclasses.dataclass(frozen=True)
class Column:
    """What the type of a column says about it.

    Attributes:
        held: what it holds.
        uncertain: whether its kind depends on its values.
        is_date: whether it holds dates, or times with a date.
    """

    held: Held
    uncertain: bool = False
    is_date: bool = False

    def joined(self, name: str, other: "Column", file: str, first: str) -> "Column":
        """Merges what the types of this column in two files say; raises if they do not agree."""
        mine, theirs = self.held.kind, other.held.kind
        if Kind.UNKNOWN not in (mine, theirs) and (mine == Kind.BYTES) != (theirs == Kind.BYTES):
            now, before = ("text", "numbers") if theirs == Kind.BYTES else ("numbers", "text")
            raise BadTable(f"{file}: {name}: holds {now}, but {before} in {first}; convert one")
        dates = [column.is_date for column in (self, other) if column.held]
        return Column(
            self.held | other.held, self.uncertain or other.uncertain, bool(dates) and all(dates)
        )


def _columns(file: str, notes: dict[str, None]) -> dict[str, Column]:
    """Returns the columns of a file; adds notes on what is left out or converted."""
    try:
        with table_files.open_file(file) as opened:
            parquet = pa.parquet.ParquetFile(opened)
            schema, metadata = parquet.schema_arrow, parquet.metadata
    except (OSError, pa.ArrowInvalid) as error:
        raise BadTable(
            f"{file}: is truncated or damaged ({error}); {table_files.RECREATE}"
        ) from None
    counts = collections.Counter(schema.names)
    if repeated := {name for name, count in counts.items() if count > 1}:
        raise BadTable(
            f"{file}: has several columns named {', '.join(sorted(repeated))}; rename all but one"
        )
    columns = {}
    leaves = {metadata.schema.column(index).path: index for index in range(metadata.num_columns)}
    for field in schema:
        if _ROW_INDEX.fullmatch(field.name):
            notes[f"column {field.name} is pandas' row index; it is left out"] = None
            continue
        columns[field.name] = _column(field, file, metadata, leaves)
        inner = parquet_values.inner_type(field.type)
        if pa.types.is_decimal(inner) and inner.scale > 0:
            notes[f"column {field.name} holds decimals ({inner}); they are read as floats"] = None
        if pa.types.is_time(inner):
            notes[f"column {field.name} holds times of day; they are read as text"] = None
    return columns


def _column(
    field: pa.Field, file: str, metadata: pa.parquet.FileMetaData, leaves: Mapping[str, int]
) -> Column:
    inner = parquet_values.inner_type(field.type)
    is_list = parquet_values.is_list(field.type)
    if pa.types.is_null(inner):
        return Column(Held.NOTHING)
    if pa.types.is_duration(inner):
        raise BadTable(
            f"{file}: {field.name}: found durations ({inner}); write them as a number of seconds "
            "(pandas: .dt.total_seconds()), or leave the column out of the file"
        )
    if pa.types.is_boolean(inner) or pa.types.is_integer(inner):
        return Column(Held.WHOLE, pa.types.is_uint64(inner) and not is_list)
    if pa.types.is_decimal(inner):
        whole = inner.scale <= 0
        # 18 digits always fit an int64, and 7 a 32-bit float.
        certain = inner.precision - inner.scale <= (18 if whole else 7)
        return Column(Held.WHOLE if whole else Held.FRACTION, not certain and not is_list)
    if pa.types.is_floating(inner):
        is_double = pa.types.is_float64(inner) and not is_list
        return Column(Held.FRACTION, is_double and not _is_small(leaves[field.name], metadata))
    texts = (pa.types.is_string, pa.types.is_large_string)
    binaries = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_time)
    if any(test(inner) for test in (*texts, *binaries)):
        return Column(Held.TEXT)
    if pa.types.is_date(inner) or pa.types.is_timestamp(inner):
        return Column(Held.TEXT, is_date=not is_list)
    raise BadTable(
        f"{file}: {field.name}: found the Parquet type {field.type}, expected numbers, booleans, "
        "text or dates; convert it or leave it out of the file"
    )


def _is_small(leaf: int, metadata: pa.parquet.FileMetaData) -> bool:
    """Returns whether, by a file's statistics, 32-bit floats hold a column's whole numbers."""
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        chunk = group.column(leaf)
        ends = chunk.is_stats_set and chunk.statistics
        if not ends or not ends.has_min_max:
            return False
        if not max(abs(ends.min), abs(ends.max)) <= cell_values.EXACT_IN_FLOATS:
            return False
    return True
