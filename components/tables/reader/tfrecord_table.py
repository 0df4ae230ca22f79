"""TFRecord files of serialized `tf.Example`s."""

import dataclasses
import math
from collections.abc import Collection, Iterator, Sequence

import pyarrow as pa
from tfx_bsl.coders import example_coder

from components.tables import table_files, tfrecords
from components.tables.column_kinds import Held, Kinds
from components.tables.table import BadTable, Piece, Rows, Scan, TextRows
from components.tables.tfrecords import FOOTER, HEADER

_MOST_ROWS = 1 << 13


@dataclasses.dataclass(frozen=True)
class TFRecordTable:
    """TFRecord files of serialized `tf.Example`s, which are passed on unchanged.

    Attributes:
        names: names of the features in the first records.
        block_bytes: how much of a file is read at once.
        kinds, dates, notes: empty, since each record describes itself.
    """

    names: tuple[str, ...]
    block_bytes: int
    kinds: Kinds = dataclasses.field(default_factory=dict)
    dates: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def pieces(self, file: str, split: int = 0) -> Iterator[Piece]:
        """Yields a piece per block; a gzipped file, which is not seekable, is a single piece."""
        if table_files.is_zipped(file):
            yield Piece.whole(file, split)
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
        """See `table.Table`."""
        return {}, None

    def blocks(
        self, piece: Piece, columns: Collection[str] | None = None
    ) -> Iterator["TFRecordBlock"]:
        """See `table.Table`.

        Raises:
            BadTable: a record is damaged.
        """
        before = piece.line - 1
        with table_files.open_file(piece.file) as opened:
            if piece.end is not None:
                opened.seek(piece.start)
            left = math.inf if piece.end is None else piece.end - piece.start
            try:
                for texts in tfrecords.read(opened, _MOST_ROWS, self.block_bytes, left):
                    yield TFRecordBlock(piece.file, before, texts)
                    before += len(texts)
            except tfrecords.DamagedRecord as error:
                raise BadTable(_damaged(piece.file, piece.line - 1 + error.index)) from None


@dataclasses.dataclass(frozen=True)
class TFRecordBlock:
    """Records of a TFRecord file; see `table.Block`.

    Attributes:
        file: path of the file.
        before: number of records before these ones.
        records: the records.
    """

    file: str
    before: int
    records: list[bytes]

    def features(self, kinds: Kinds) -> Rows:
        """See `table.Block`; the records have kinds of their own.

        Raises:
            BadTable: a record is not a `tf.Example` that fits the others.
        """
        try:
            batch = example_coder.ExamplesToRecordBatchDecoder().DecodeBatch(self.records)
        except (RuntimeError, ValueError) as error:
            raise BadTable(
                f"{self.file}: one of the records {self.before + 1} to "
                f"{self.before + len(self.records)} is not a tf.Example like the others: {error}"
            ) from None
        return Rows(len(self.records), batch, records=pa.array(self.records, pa.large_binary()))

    def features_and_texts(self, kinds: Kinds) -> TextRows:
        """Not available: a `tf.Example` has no text."""
        raise TypeError(f"{self.file}: tf.Examples are read as features only")

    def scan(self, texts: Collection[str]) -> Scan:
        """Not available: a `tf.Example` has features only."""
        raise TypeError(f"{self.file}: tf.Examples are read as features only")


def open_table(files: Sequence[str], block_bytes: int) -> TFRecordTable:
    """Checks the first bytes of all files, and reads the names of the features.

    Raises:
        BadTable: a file is in another format, or its first records are not `tf.Example`s.
    """
    for file in files:
        table_files.check_kind(file, "tfrecord")
    table = TFRecordTable((), block_bytes)
    first = next((block for file in files for block in table.blocks(Piece.whole(file))), None)
    names = first.features({}).batch.schema.names if first else ()
    return dataclasses.replace(table, names=tuple(names))


def _damaged(file: str, before: int) -> str:
    return f"{file}: record {before + 1} is damaged or truncated; {table_files.RECREATE}"
