"""How many rows each split will get, counted before the run by the hash that ingestion uses.

Counted are small tables, and those whose key has few values. In any other one no split is empty:
of 5,000 rows, a split of a thousandth is, once in a hundred and fifty times.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from components.examples import encoder
from components.examples.splits import Splits
from components.tables import table
from components.tables.profile import TableProfile
from components.tables.table import Kind, Kinds, Piece, Rows, Source
from pipeline import data_config

NAMES = ("train", "eval", "test")
MOST_ROWS = 5_000
"""Longer tables are not counted row by row."""


@dataclasses.dataclass(frozen=True)
class SplitCounts:
    """What the splits of a table get.

    Attributes:
        rows: by split.
        constants: labels that have one value in all rows of the train split, and that value.
    """

    rows: Mapping[str, int]
    constants: Mapping[str, str] = dataclasses.field(default_factory=dict)


def count(
    shares: data_config.Splits,
    source: Source,
    files: Sequence[str],
    kinds: Kinds,
    profile: TableProfile,
    labels: Sequence[str],
) -> SplitCounts | None:
    """Counts the rows of each split; None of a table that is too large to.

    Args:
        shares: of the splits.
        source: reads the files.
        files: of the table.
        kinds: of the columns, as ingestion has them.
        profile: of the table.
        labels: which may be constant.

    Raises:
        BadTable: see `Splits.of_rows`.
    """
    ends = tuple(np.cumsum([getattr(shares, name) for name in NAMES]).tolist())
    splits = Splits(NAMES, ends, shares.key)
    if profile.rows <= MOST_ROWS:
        return _by_row(splits, source, files, kinds, labels)
    if shares.key and profile.columns[shares.key].values is not None:
        return _by_key(splits, kinds, profile)
    return None


def _by_row(
    splits: Splits, source: Source, files: Sequence[str], kinds: Kinds, labels: Sequence[str]
) -> SplitCounts:
    rows = np.zeros(len(NAMES), np.int64)
    in_train: dict[str, set] = {name: set() for name in labels}
    for piece in (piece for file in files for piece in source.pieces(file, 0)):
        for part in source.read(piece, kinds):
            texts = encoder.texts(encoder.encode(part.batch))
            of_rows = splits.of_rows(part, texts, piece)
            rows += np.bincount(of_rows, minlength=len(NAMES))
            is_train = pa.array(of_rows == 0)
            for name, values in in_train.items():
                values.update(part.batch.column(name).filter(is_train).flatten().to_pylist())
    constants = {name: _text(*values) for name, values in in_train.items() if len(values) == 1}
    return SplitCounts(dict(zip(NAMES, rows.tolist())), constants)


def _by_key(splits: Splits, kinds: Kinds, profile: TableProfile) -> SplitCounts:
    assert splits.key
    values = profile.columns[splits.key].values or {}
    if kinds[splits.key] == Kind.INT:
        keys = pa.array([int(text) for text in values], pa.int64())
    else:
        keys = pa.array([text.encode() for text in values], pa.large_binary())
    batch = pa.RecordBatch.from_pydict({splits.key: table.lists(keys)})
    of_keys = splits.of_rows(Rows(len(keys), batch), [b""] * len(keys), Piece("", 0, 0, 0, None))
    weights = [found.count for found in values.values()]
    rows = np.bincount(of_keys, weights, minlength=len(NAMES)).astype(int)
    return SplitCounts(dict(zip(NAMES, rows.tolist())))


def _text(value: bytes | float) -> str:
    return repr(value.decode()) if isinstance(value, bytes) else f"{value:g}"
