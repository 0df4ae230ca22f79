"""TFRecord files of serialized `tf.Example`s."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import pyarrow as pa
from tfx_bsl.coders import example_coder

from components.tables import table_files, tfrecords
from components.tables.table import BadTable, Held, Kinds, Piece, Rows
from components.tables.tfrecords import FOOTER, HEADER

_MOST_ROWS = 1 << 13


@dataclasses.dataclass(frozen=True)
class TFRecordSource:
    """TFRecord files of serialized `tf.Example`s, which are passed on unchanged.

    Attributes:
        block_bytes: how much of a file is read at once.
        kinds, names, dates, notes: empty, since each record describes itself.
    """

    block_bytes: int
    kinds: Kinds = dataclasses.field(default_factory=dict)
    names: tuple[str, ...] = ()
    dates: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def pieces(self, file: str, split: int) -> Iterator[Piece]:
        """Yields a piece per block; a gzipped file, which is not seekable, is a single piece."""
        if table_files.is_zipped(file):
            yield Piece(file, split, 0, 0, None)
            return
        with table_files.open_file(file) as opened:
            start = offset = rows = index = first = 0
            while header := opened.read(HEADER.size):
                if len(header) < HEADER.size:
                    raise BadTable(_damaged(file, first + rows))
                offset += HEADER.size + HEADER.unpack(header)[0] + FOOTER.size
                opened.seek(offset)
                rows += 1
                if offset - start >= self.block_bytes:
                    yield Piece(file, split, index, start, offset, offset - start, first + 1, rows)
                    start, index, first, rows = offset, index + 1, first + rows, 0
            if rows:
                yield Piece(file, split, index, start, offset, offset - start, first + 1, rows)

    def infer(self, piece: Piece) -> tuple[dict[str, Held], None]:
        """See `table.Source`."""
        return {}, None

    def read(self, piece: Piece, kinds: Kinds) -> Iterator[Rows]:
        """See `table.Source`.

        Raises:
            BadTable: a record is damaged, or not a `tf.Example` that fits the others.
        """
        decoder = example_coder.ExamplesToRecordBatchDecoder()
        seen = piece.line - 1
        with table_files.open_file(piece.file) as opened:
            if piece.end is not None:
                opened.seek(piece.start)
            left = math.inf if piece.end is None else piece.end - piece.start
            batches = tfrecords.read(opened, _MOST_ROWS, self.block_bytes, left)
            for texts in _told(batches, piece):
                try:
                    batch = decoder.DecodeBatch(texts)
                except (RuntimeError, ValueError) as error:
                    raise BadTable(
                        f"{piece.file}: among the records {seen + 1} to {seen + len(texts)} is one "
                        f"that is no tf.Example like the others: {error}"
                    ) from None
                seen += len(texts)
                yield Rows(len(texts), batch, records=pa.array(texts, pa.large_binary()))


def open_source(paths: Sequence[str], block_bytes: int) -> TFRecordSource:
    """Checks the first bytes of all files, and returns their source.

    Raises:
        BadTable: a file is in another format.
    """
    for path in paths:
        table_files.check_kind(path, "tfrecord")
    return TFRecordSource(block_bytes)


def _told(batches: Iterator[list[bytes]], piece: Piece) -> Iterator[list[bytes]]:
    try:
        yield from batches
    except tfrecords.DamagedRecord as error:
        raise BadTable(_damaged(piece.file, piece.line - 1 + error.index)) from None


def _damaged(file: str, before: int) -> str:
    return f"{file}: record {before + 1} is damaged or cut off; make the file again"
