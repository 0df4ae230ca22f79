"""Files of TFRecords: each record is its length, its bytes, and a checksum of either."""

import dataclasses
import functools
import math
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import google_crc32c
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from tfx_bsl.coders import example_coder

from components.table_example_gen import csv_file, encoder
from components.table_example_gen.table import BadTable, Kind, Kinds, Piece, Rows

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_MOST_ROWS = 1 << 13


def frame(records: pa.LargeBinaryArray, texts: list[bytes]) -> pa.LargeBinaryArray:
    """Each record as it stands in a file.

    Args:
        records: the records.
        texts: the same, as Python has them.
    """
    headers = encoder.by_code(encoder.lengths(records), _header)
    sums = _sums(texts).astype("<u4").view(np.uint8)
    footers = encoder.binary(sums, _FOOTER.size * np.arange(len(texts) + 1))
    return pc.binary_join_element_wise(headers, records, footers, pa.scalar(b"", pa.large_binary()))


def _header(length: int) -> bytes:
    return _HEADER.pack(length, _header_sum(length))


@functools.lru_cache(1 << 16)
def _header_sum(length: int) -> int:
    return int(_sums([struct.pack("<Q", length)])[0])


def _sums(texts: list[bytes]) -> np.ndarray:
    """The checksums as they stand in a file."""
    sums = np.fromiter(map(google_crc32c.value, texts), np.uint32, len(texts))
    return ((sums >> np.uint32(15)) | (sums << np.uint32(17))) + np.uint32(0xA282EAD8)


@dataclasses.dataclass(frozen=True)
class TFRecordSource:
    """Files of serialized `tf.Example`s, which stay as they are.

    Attributes:
        block_bytes: how much of a file is read at once.
        kinds: none; each record says what it holds.
    """

    block_bytes: int
    kinds: Kinds = dataclasses.field(default_factory=dict)

    def pieces(self, file: str, split: int) -> Iterator[Piece]:
        """A piece for each block; a zipped file cannot be entered in the middle and stays whole."""
        if csv_file.is_zipped(file):
            yield Piece(file, split, 0, 0, None)
            return
        with csv_file.open_file(file) as opened:
            start = place = rows = number = first = 0
            while header := opened.read(_HEADER.size):
                if len(header) < _HEADER.size:
                    raise BadTable(_damaged(file, first + rows))
                place += _HEADER.size + _HEADER.unpack(header)[0] + _FOOTER.size
                opened.seek(place)
                rows += 1
                if place - start >= self.block_bytes:
                    yield Piece(file, split, number, start, place, place - start, first + 1, rows)
                    start, number, first, rows = place, number + 1, first + rows, 0
            if rows:
                yield Piece(file, split, number, start, place, place - start, first + 1, rows)

    def infer(self, piece: Piece) -> tuple[dict[str, Kind], None]:
        """See `table.Source`."""
        return {}, None

    def read(self, piece: Piece, kinds: Kinds) -> Iterator[Rows]:
        """See `table.Source`.

        Raises:
            BadTable: a record is damaged, or no `tf.Example`.
        """
        decoder = example_coder.ExamplesToRecordBatchDecoder()
        seen = piece.line - 1
        with csv_file.open_file(piece.file) as opened:
            if piece.end is not None:
                opened.seek(piece.start)
            for texts in self._texts(opened, piece, seen):
                try:
                    batch = decoder.DecodeBatch(texts)
                except (RuntimeError, ValueError) as error:
                    raise BadTable(
                        f"{piece.file}: among the records {seen + 1} to {seen + len(texts)} is one "
                        f"that is no tf.Example like the others: {error}"
                    ) from None
                seen += len(texts)
                yield Rows(len(texts), batch, records=pa.array(texts, pa.large_binary()))

    def _texts(self, opened: BinaryIO, piece: Piece, seen: int) -> Iterator[list[bytes]]:
        texts: list[bytes] = []
        sums: list[int] = []
        size = 0
        left = math.inf if piece.end is None else piece.end - piece.start
        while left > 0 and (header := _read(opened, piece.file, seen + len(texts))):
            text, checksum, length = header
            texts.append(text)
            sums.append(checksum)
            size += length
            left -= length
            if size >= self.block_bytes or len(texts) == _MOST_ROWS:
                yield _checked(texts, sums, piece.file, seen)
                seen += len(texts)
                texts, sums, size = [], [], 0
        if texts:
            yield _checked(texts, sums, piece.file, seen)


def _read(opened: BinaryIO, file: str, before: int) -> tuple[bytes, int, int] | None:
    """The next record, its checksum and the length of both; None at the end."""
    try:
        header = opened.read(_HEADER.size)
        if not header:
            return None
        length, checksum = _HEADER.unpack(header)
        # A wrong length may be longer than memory.
        if checksum != _header_sum(length):
            raise BadTable(_damaged(file, before))
        text = opened.read(length)
        (checksum,) = _FOOTER.unpack(opened.read(_FOOTER.size))
    except (struct.error, OSError, EOFError, zlib.error):
        raise BadTable(_damaged(file, before)) from None
    return text, checksum, _HEADER.size + length + _FOOTER.size


def _checked(texts: list[bytes], sums: list[int], file: str, seen: int) -> list[bytes]:
    wrong = np.flatnonzero(_sums(texts) != np.array(sums, np.uint32))
    if len(wrong):
        raise BadTable(_damaged(file, seen + int(wrong[0])))
    return texts


def _damaged(file: str, before: int) -> str:
    return f"{file}: record {before + 1} is damaged or cut off; make the file again"
