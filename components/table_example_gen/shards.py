"""The order of rows, and the files they are written to.

The order is random but the same in every run: the blocks of all files are dealt to the shards in a
random order, and the rows within each block are shuffled. This is not a full shuffle: with a sorted
table, each shard has blocks from all over it, but the rows of a block (a few megabytes of the file)
stay together. Training shuffles again as it reads.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from tfx.dsl.io import fileio

from components.example_io import counters, encoder
from components.example_io.splits import Splits
from components.tables import byte_arrays, tfrecords
from components.tables.bad_rows import BadRows
from components.tables.column_kinds import Kinds
from components.tables.table import BadRow, Piece, Rows, Table

QUARANTINE = "quarantine"


@dataclasses.dataclass(frozen=True)
class Shard:
    """A part of the table, written by one worker: one file in each split.

    Attributes:
        index, count: the shard's index, and the number of shards.
        pieces: the pieces in it, each with its index among all pieces.
    """

    index: int
    count: int
    pieces: tuple[tuple[int, Piece], ...]

    @property
    def name(self) -> str:
        """The ending of its file names, in Beam's style."""
        return f"{self.index:05d}-of-{self.count:05d}"


def deal(pieces: Sequence[Piece], shard_bytes: int, seed: int) -> Iterator[Shard]:
    """Deals pieces to shards of about `shard_bytes`; the order of `pieces` does not matter."""
    ordered = sorted(pieces, key=lambda piece: (piece.split, piece.file, piece.index))
    sizes = [shard_bytes if piece.size is None else piece.size for piece in ordered]
    count = min(-(-sum(sizes) // shard_bytes), len(ordered))
    order = np.random.default_rng(seed).permutation(len(ordered)).tolist()
    for index in range(count):
        mine = tuple((position, ordered[position]) for position in order[index::count])
        yield Shard(index, count, mine)


@dataclasses.dataclass(frozen=True)
class Written:
    """The outcome of writing a shard.

    Attributes:
        rows: number of rows that were read, good or bad.
        splits: number of rows written, by split.
        bad: number of rows that could not be read.
        first: the first such row.
    """

    rows: int
    splits: Mapping[str, int]
    bad: int = 0
    first: BadRow | None = None


def write(
    shard: Shard,
    table: Table,
    kinds: Kinds,
    splits: Splits,
    folders: Mapping[str, str],
    quarantine: str | None,
    seed: int,
) -> Written:
    """Writes a shard.

    Args:
        shard: the shard.
        table: the table that its pieces are from.
        kinds: kinds of the columns.
        splits: how rows are split.
        folders: folder of each split.
        quarantine: folder for bad rows; if None, writing stops at the first block that has one.
        seed: seed for the order of rows.

    Raises:
        BadTable: see `Splits.of_rows` and `table.Block.features`.
    """
    for folder in folders.values():
        fileio.makedirs(folder)
    files = {
        name: tfrecords.Zipped(os.path.join(folders[name], f"data_tfrecord-{shard.name}.gz"))
        for name in splits.names
    }
    counts = dict.fromkeys(splits.names, 0)
    row_count = 0
    bad = BadRows()
    quarantined = _Quarantine(quarantine, shard.name)
    try:
        for position, piece in shard.pieces:
            for block_index, block in enumerate(table.blocks(piece, kinds)):
                rows = block.features(kinds)
                row_count += rows.count
                bad.add(rows.bad)
                if bad.count and not quarantine:
                    return Written(row_count, counts, bad.count, bad.first)
                quarantined.add(rows.bad)
                random = np.random.default_rng([seed, position, block_index])
                for split, content in _shuffled(rows, splits, piece, random):
                    counts[split] += len(content)
                    files[split].write(byte_arrays.content(content))
                counters.read(rows.count)
    finally:
        for file in files.values():
            file.close()
        quarantined.close()
    return Written(row_count, counts, bad.count, bad.first)


def _shuffled(
    rows: Rows, splits: Splits, piece: Piece, random: np.random.Generator
) -> Iterator[tuple[str, pa.LargeBinaryArray]]:
    """Yields for each split its framed records, in the order in which they are written."""
    records = encoder.encode(rows.batch) if rows.records is None else rows.records
    texts = byte_arrays.texts(records)
    of_rows = splits.of_rows(rows, texts, piece)
    order = random.permutation(len(texts))
    framed = tfrecords.frame(records, texts)
    for index, name in enumerate(splits.names):
        mine = order[of_rows[order] == index]
        if len(mine):
            yield name, framed.take(pa.array(mine))


class _Quarantine:
    """Writer of bad rows, one JSON object per line; the first bad row creates the file."""

    def __init__(self, folder: str | None, name: str):
        self._path = folder and os.path.join(folder, f"rows-{name}.jsonl")
        self._file: Any = None

    def add(self, rows: Sequence[BadRow]) -> None:
        if rows and self._file is None:
            assert self._path
            fileio.makedirs(os.path.dirname(self._path))
            self._file = fileio.open(self._path, "w")
        for row in rows:
            self._file.write(json.dumps(dataclasses.asdict(row), ensure_ascii=False) + "\n")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
