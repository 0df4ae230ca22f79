"""In which order rows stand, and the files they are written to.

The order is the same in every run: the blocks of all files are dealt out to the
shards in a random order, and the rows of each block are shuffled. This is no shuffle of the whole
table: of a sorted one, each shard has parts from all over it, but the rows of a block (some
megabytes of the file) stay together. Training shuffles again as it reads.
"""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from tfx.dsl.io import fileio

from components.examples import counters, encoder, tfrecords
from components.examples.splits import Splits
from components.tables.table import BadRow, Kinds, Piece, Rows, Source

QUARANTINE = "quarantine"


@dataclasses.dataclass(frozen=True)
class Shard:
    """A part of every split, to be written by one worker.

    Attributes:
        number, count: which of how many.
        pieces: what is in it, each with its place among all pieces.
    """

    number: int
    count: int
    pieces: tuple[tuple[int, Piece], ...]

    @property
    def name(self) -> str:
        """The end of its files' names, as Beam makes them."""
        return f"{self.number:05d}-of-{self.count:05d}"


def deal(pieces: Sequence[Piece], shard_bytes: int, seed: int) -> Iterator[Shard]:
    """Deals pieces out to shards of about so many bytes; the order they come in does not matter."""
    ordered = sorted(pieces, key=lambda piece: (piece.split, piece.file, piece.number))
    sizes = [shard_bytes if piece.size is None else piece.size for piece in ordered]
    count = min(-(-sum(sizes) // shard_bytes), len(ordered))
    order = np.random.default_rng(seed).permutation(len(ordered)).tolist()
    for number in range(count):
        mine = tuple((place, ordered[place]) for place in order[number::count])
        yield Shard(number, count, mine)


@dataclasses.dataclass(frozen=True)
class Written:
    """What became of the rows of a shard.

    Attributes:
        found: how many rows its pieces have.
        splits: how many were written, by split.
        bad: how many could not be read, and stand in the quarantine.
        first: the first of them.
    """

    found: int
    splits: Mapping[str, int]
    bad: int = 0
    first: BadRow | None = None


def write(
    shard: Shard,
    source: Source,
    kinds: Kinds,
    splits: Splits,
    folders: Mapping[str, str],
    quarantine: str | None,
    seed: int,
) -> Written:
    """Writes a shard.

    Args:
        shard: what is in it.
        source: reads it.
        kinds: of the columns.
        splits: how it is split.
        folders: of the splits.
        quarantine: where bad rows go; without it nothing is read after the first of them.
        seed: of the order of rows.

    Raises:
        BadTable: see `Splits.of_rows` and `table.Source.read`.
    """
    for folder in folders.values():
        fileio.makedirs(folder)
    files = {
        name: tfrecords.Zipped(os.path.join(folders[name], f"data_tfrecord-{shard.name}.gz"))
        for name in splits.names
    }
    counts = dict.fromkeys(splits.names, 0)
    found = 0
    bad: list[BadRow] = []
    aside = _Quarantine(quarantine, shard.name)
    try:
        for place, piece in shard.pieces:
            for number, rows in enumerate(source.read(piece, kinds)):
                found += rows.found
                if rows.bad and not quarantine:
                    return Written(found, counts, len(rows.bad), rows.bad[0])
                aside.add(rows.bad)
                bad = bad or list(rows.bad[:1])
                random = np.random.default_rng([seed, place, number])
                for split, content in _shuffled(rows, splits, piece, random):
                    counts[split] += len(content)
                    files[split].write(encoder.content(content))
                counters.read(rows.found)
    finally:
        for file in files.values():
            file.close()
        aside.close()
    return Written(found, counts, aside.count, bad[0] if bad else None)


def _shuffled(
    rows: Rows, splits: Splits, piece: Piece, random: np.random.Generator
) -> Iterator[tuple[str, pa.LargeBinaryArray]]:
    """The rows of each split as they are to stand in a file."""
    records = encoder.encode(rows.batch) if rows.records is None else rows.records
    texts = encoder.texts(records)
    of_rows = splits.of_rows(rows, texts, piece)
    order = random.permutation(len(texts))
    framed = tfrecords.frame(records, texts)
    for index, name in enumerate(splits.names):
        mine = order[of_rows[order] == index]
        if len(mine):
            yield name, framed.take(pa.array(mine))


class _Quarantine:
    """Bad rows, one JSON object a line; there is no file if there are none."""

    def __init__(self, folder: str | None, name: str):
        self._path = folder and os.path.join(folder, f"rows-{name}.jsonl")
        self._file: Any = None
        self.count = 0

    def add(self, rows: Sequence[BadRow]) -> None:
        if rows and self._file is None:
            assert self._path
            fileio.makedirs(os.path.dirname(self._path))
            self._file = fileio.open(self._path, "w")
        for row in rows:
            self._file.write(json.dumps(dataclasses.asdict(row), ensure_ascii=False) + "\n")
        self.count += len(rows)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
