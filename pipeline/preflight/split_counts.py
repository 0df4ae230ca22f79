"""Counts the rows of each split before a run, with the hash that ingestion uses.

Rows are hashed one by one until every split has enough of them and the labels vary in the train
split, so an empty or very small split is found however long or repetitive the table is. If the key
has few values, their row counts are summed instead.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.example_io import encoder
from components.example_io.splits import Splits
from components.tables import byte_arrays
from components.tables.column_kinds import Kind, Kinds, lists
from components.tables.profile import TableProfile
from components.tables.table import Piece, Rows, Table
from models.features import expressions, text_values
from models.features import features as features_lib
from models.features.features import Feature
from pipeline.config import data_config

NAMES = ("train", "eval", "test")
MOST_ROWS = 5_000
"""Rows after which counting may stop early."""

FEW_ROWS = 10
"""A split with fewer rows is reported as small."""


@dataclasses.dataclass(frozen=True)
class SplitCounts:
    """The contents of a table's splits.

    Only `rows` is set if the table was not counted row by row to its end.

    Attributes:
        rows: the number of rows by split; if counting stopped early, at least `FEW_ROWS` each.
        constants: labels that are constant in the train split, with their value.
        labels: the values that occur, by label and split.
        without_values: features that have no usable value in the train split.
    """

    rows: Mapping[str, int]
    constants: Mapping[str, str] = dataclasses.field(default_factory=dict)
    labels: Mapping[str, Mapping[str, frozenset]] = dataclasses.field(default_factory=dict)
    without_values: tuple[str, ...] = ()


def count(
    shares: data_config.Splits,
    table: Table,
    files: Sequence[str],
    kinds: Kinds,
    profile: TableProfile,
    labels: Sequence[str],
    features: Sequence[Feature] = (),
) -> SplitCounts:
    """Counts the rows of each split.

    Args:
        shares: the configured shares of the splits.
        table: the table.
        files: the table's files.
        kinds: the columns' types, as ingestion reads them.
        profile: the table's profile.
        labels: labels to check for constant values.
        features: features to check for usable values.

    Raises:
        BadTable: see `Splits.of_rows`.
    """
    ends = tuple(np.cumsum([getattr(shares, name) for name in NAMES]).tolist())
    splits = Splits(NAMES, ends, shares.key)
    if profile.rows > MOST_ROWS and shares.key and profile.columns[shares.key].values is not None:
        return _by_key(splits, kinds, profile)
    return _by_row(splits, table, files, kinds, labels, features)


def _by_row(
    splits: Splits,
    table: Table,
    files: Sequence[str],
    kinds: Kinds,
    labels: Sequence[str],
    features: Sequence[Feature],
) -> SplitCounts:
    rows = np.zeros(len(NAMES), np.int64)
    seen: dict[str, list[set]] = {name: [set() for _ in NAMES] for name in labels}
    unusable = {feature.name: feature for feature in features}
    for piece in (piece for file in files for piece in table.pieces(file)):
        for block in table.blocks(piece, kinds):
            part = block.features(kinds)
            texts = byte_arrays.texts(encoder.encode(part.batch))
            indices = splits.of_rows(part, texts, piece)
            rows += np.bincount(indices, minlength=len(NAMES))
            for index in range(len(NAMES)):
                in_split = part.batch.filter(pa.array(indices == index))
                for name, values in seen.items():
                    values[index].update(in_split.column(name).flatten().to_pylist())
                if index == 0:
                    used = [
                        name
                        for name, candidate in unusable.items()
                        if _is_used(candidate, in_split)
                    ]
                    for name in used:
                        del unusable[name]
            differ = all(len(values[0]) > 1 for values in seen.values())
            if rows.sum() > MOST_ROWS and rows.min() >= FEW_ROWS and differ:
                return SplitCounts(dict(zip(NAMES, rows.tolist())))
    constants = {
        name: label_text(*values[0]) for name, values in seen.items() if len(values[0]) == 1
    }
    return SplitCounts(
        dict(zip(NAMES, rows.tolist())),
        constants,
        {name: dict(zip(NAMES, map(frozenset, values))) for name, values in seen.items()},
        tuple(unusable),
    )


_PATTERNS = {
    features_lib.DATE: text_values.DATE,
    features_lib.BOOLEAN: f"(?:{text_values.TRUE}|{text_values.FALSE})",
}


def _is_used(feature: Feature, batch: pa.RecordBatch) -> bool:
    """Returns whether some row has a usable value of the feature."""
    if feature.kind == features_lib.DERIVED:
        values = _derived(feature, batch)
        return values is None or bool(np.isfinite(values).any())
    if feature.kind not in (*_PATTERNS, features_lib.ORDINAL) or feature.true_value:
        return True
    lists = batch.column(feature.name)
    if pa.types.is_null(lists.type):
        return True  # an empty column is reported elsewhere
    column = lists.flatten().drop_null()
    is_number = not pa.types.is_large_binary(column.type)
    if feature.kind == features_lib.ORDINAL:
        order = [code.encode() if isinstance(code, str) else code for code in feature.order]
        return bool(pc.any(pc.is_in(column, pa.array(order, column.type))).as_py())
    if is_number and feature.kind == features_lib.BOOLEAN:
        return len(column) > 0
    texts = column.cast(pa.string()) if is_number else column
    pattern = f"^(?:{_PATTERNS[feature.kind]})$"
    return bool(pc.any(pc.match_substring_regex(texts, pattern)).as_py())


def _derived(feature: Feature, batch: pa.RecordBatch) -> np.ndarray | None:
    """Returns a derived feature's values, NaN if missing; None if an operand is not a number."""
    operands: dict[str, np.ndarray] = {}
    for operand in feature.operands:
        if operand.kind == features_lib.DERIVED:
            values = _derived(operand, batch)
        elif operand.kind == features_lib.NUMERIC and not pa.types.is_null(
            batch.column(operand.name).type
        ):
            values = _numbers(batch.column(operand.name))
        else:
            values = None
        if values is None:
            return None
        operands[operand.name] = values
    rows = np.full(batch.num_rows, 1.0)
    with np.errstate(all="ignore"):
        return expressions.parse(feature.expression).evaluate(
            operands.__getitem__, lambda value: value * rows, _step
        )


def _numbers(column: pa.Array) -> np.ndarray:
    """Returns the number of each row of a column of lists; NaN unless the list has one value."""
    numbers = np.full(len(column), np.nan)
    present = np.diff(column.offsets.to_numpy()) == 1
    present &= column.is_valid().to_numpy(zero_copy_only=False)
    numbers[present] = column.flatten().to_numpy(zero_copy_only=False)[: present.sum()]
    return numbers


_STEPS: Mapping[str, Callable[..., np.ndarray]] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
    "negative": np.negative,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "min": lambda *arguments: functools.reduce(np.minimum, arguments),
    "max": lambda *arguments: functools.reduce(np.maximum, arguments),
}


def _step(name: str, arguments: list[np.ndarray]) -> np.ndarray:
    """Applies an operation as `preprocessing` does: missing operands give missing results."""
    result = _STEPS[name](*arguments)
    is_defined = np.isfinite(result) & ~np.isnan(arguments).any(axis=0)
    return np.where(is_defined, result, np.nan)


def _by_key(splits: Splits, kinds: Kinds, profile: TableProfile) -> SplitCounts:
    assert splits.key
    values = profile.columns[splits.key].values or {}
    if kinds[splits.key] == Kind.INT:
        keys = pa.array([int(text) for text in values], pa.int64())
    else:
        keys = pa.array([text.encode() for text in values], pa.large_binary())
    batch = pa.RecordBatch.from_pydict({splits.key: lists(keys)})
    indices = splits.of_rows(Rows(len(keys), batch), [b""] * len(keys), Piece.whole(""))
    weights = [occurrences.count for occurrences in values.values()]
    rows = np.bincount(indices, weights, minlength=len(NAMES)).astype(int)
    return SplitCounts(dict(zip(NAMES, rows.tolist())))


def label_text(value: bytes | float) -> str:
    """Formats a value of a label for a message."""
    return repr(value.decode()) if isinstance(value, bytes) else f"{value:g}"
