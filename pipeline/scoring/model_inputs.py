"""Inputs of a model from the rows of a table: which columns, of which kinds, and lists as JSON."""

import json
import math
import pathlib
from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from components.tables import table
from components.tables.column_kinds import Kind
from components.tables.table import TextRows
from models.errors import UserError, nearest
from models.features.export_inputs import Input
from pipeline.scoring.exported_model import ExportedModel

Inputs = Mapping[str, Input]

_KINDS = {"text": Kind.BYTES, "whole numbers": Kind.INT, "numbers": Kind.FLOAT}
_LISTS = {"whole numbers": pa.int64(), "numbers": pa.float32()}
_SAMPLES = {"whole numbers": "1, 2", "numbers": "1.5, 2"}


def check_columns(source: pathlib.Path, header: Sequence[str], model: ExportedModel) -> None:
    """Raises `UserError` if required columns are missing or the model does not know a column."""
    mistakes = [
        f"{source}: column {name} is missing; the model needs it ({_expected(column)})"
        for name, column in model.inputs.items()
        if name not in header and not column.optional
    ]
    mistakes += [
        f"{source}: column {name}: the model was trained without it{nearest(name, model.columns)}"
        for name in header
        if name not in model.columns
    ]
    if mistakes:
        raise UserError("\n".join(mistakes))


def kinds(header: Sequence[str], inputs: Inputs, has_lists: bool) -> dict[str, Kind]:
    """Returns the kinds in which columns are read; lists are text, unless the files have lists."""
    return {
        name: _KINDS[column.dtype]
        for name, column in inputs.items()
        if name in header and (has_lists or not column.sequence)
    }


def features(block: TextRows, header: Sequence[str], inputs: Inputs) -> pa.RecordBatch:
    """Returns the columns that the model reads, in the form that `encoder.encode` takes.

    Raises:
        UserError: a required value is empty, or a field is not a list as the model expects it.
    """
    columns = {}
    for name, column in inputs.items():
        if name not in header:
            continue
        if name in block.rows.batch.schema.names:
            values = block.rows.batch.column(name)
        else:
            values = _json_lists(column, block, block.texts[header.index(name)])
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        is_empty = pc.equal(lengths, 0)
        if is_empty.true_count and not column.optional:
            location = block.location(pc.index(is_empty, True).as_py())
            raise UserError(f"{location}: column {name} is empty; the model needs it")
        if column.length:
            is_wrong = pc.and_(pc.not_equal(lengths, column.length), pc.invert(is_empty))
            if is_wrong.true_count:
                row = pc.index(is_wrong, True).as_py()
                raise UserError(
                    f"{block.location(row)}: column {name}: found {lengths[row].as_py()} values, "
                    f"expected {_expected(column)}"
                )
        columns[name] = values
    return pa.RecordBatch.from_pydict(columns)


def _expected(column: Input) -> str:
    """Describes the value that the model expects in a field of a column."""
    if not column.sequence:
        return column.dtype
    count = f"{column.length} " if column.length else ""
    return f"a list of {count}{column.dtype} such as [{_SAMPLES[column.dtype]}]"


def _json_lists(column: Input, block: TextRows, texts: pa.Array) -> pa.Array:
    rows = []
    for row, field in enumerate(texts.to_pylist()):
        values = [] if field is None else _list(field, column)
        if values is None:
            raise UserError(
                f"{block.location(row)}: column {column.name}: found {table.shown(field)}, "
                f"expected {_expected(column)}"
            )
        rows.append(values)
    return pa.array(rows, pa.large_list(_LISTS[column.dtype]))


def _list(field: str, column: Input) -> list[float] | None:
    """Parses a JSON list of numbers of the column's type and length; returns None on failure."""
    try:
        values = json.loads(field)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or (column.length and len(values) != column.length):
        return None
    whole = column.dtype == "whole numbers"
    for index, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        try:
            values[index] = int(value) if whole else float(value)
        except (OverflowError, ValueError):  # not a whole number, or too large for a float
            return None
        if whole and (values[index] != value or abs(value) >= 1 << 63):
            return None
        if math.isinf(values[index]):  # NaN is allowed: it means a missing value
            return None
    return values
