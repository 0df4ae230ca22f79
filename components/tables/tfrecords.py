"""TFRecord files: each record is its length, its bytes, and a checksum of each of the two."""

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
from tfx.dsl.io import fileio

from components.tables import byte_arrays

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
_READ = 1 << 20
# Files are a fifth larger than with zlib's default, but take less than half the time.
_COMPRESSION = 1
_GZIP = 16 + zlib.MAX_WBITS


class DamagedRecord(ValueError):
    """A record is damaged or truncated.

    Attributes:
        index: index of the record among those read, from 0.
    """

    def __init__(self, index: int):
        super().__init__(f"record {index + 1} is damaged or truncated")
        self.index = index


def frame(records: pa.LargeBinaryArray, texts: list[bytes]) -> pa.LargeBinaryArray:
    """Frames each record as in a file, with its length and checksums.

    Args:
        records: the records.
        texts: the same records, as Python bytes.
    """
    headers = byte_arrays.by_code(byte_arrays.lengths(records), _header)
    sums = _sums(texts).astype("<u4").view(np.uint8)
    footers = byte_arrays.binary(sums, FOOTER.size * np.arange(len(texts) + 1))
    return pc.binary_join_element_wise(headers, records, footers, pa.scalar(b"", pa.large_binary()))


def read(
    file: BinaryIO, most_rows: int, most_bytes: float = math.inf, left: float = math.inf
) -> Iterator[list[bytes]]:
    """Yields the records of an open file in batches.

    Args:
        file: file at the start of a record; reading it must give unzipped bytes.
        most_rows: number of records in a batch.
        most_bytes: size in bytes at which a batch is yielded with fewer records.
        left: number of bytes to read, which end with a record.

    Raises:
        DamagedRecord: a record is damaged or truncated; no record of its batch is yielded.
    """
    texts: list[bytes] = []
    sums: list[int] = []
    size = seen = 0
    rest = b""
    while left > 0 and (more := _more(file, min(_READ, left), seen + len(texts))):
        left -= len(more)
        data, offset = rest + more, 0
        while (start := offset + HEADER.size) <= len(data):
            length, checksum = HEADER.unpack_from(data, offset)
            # Check before reading on: a wrong length may exceed memory.
            if checksum != _header_sum(length):
                raise DamagedRecord(seen + len(texts))
            end = start + length
            if end + FOOTER.size > len(data):
                break
            texts.append(data[start:end])
            sums.append(FOOTER.unpack_from(data, end)[0])
            offset = end + FOOTER.size
            size += length
            if len(texts) == most_rows or size >= most_bytes:
                yield _checked(texts, sums, seen)
                seen += len(texts)
                texts, sums, size = [], [], 0
        rest = data[offset:]
    if rest:
        raise DamagedRecord(seen + len(texts))
    if texts:
        yield _checked(texts, sums, seen)


def _more(file: BinaryIO, size: float, before: int) -> bytes:
    try:
        return file.read(int(size))
    except (OSError, EOFError, zlib.error):
        raise DamagedRecord(before) from None


def _checked(texts: list[bytes], sums: list[int], seen: int) -> list[bytes]:
    wrong = np.flatnonzero(_sums(texts) != np.array(sums, np.uint32))
    if len(wrong):
        raise DamagedRecord(seen + int(wrong[0]))
    return texts


def _header(length: int) -> bytes:
    return HEADER.pack(length, _header_sum(length))


@functools.lru_cache(1 << 16)
def _header_sum(length: int) -> int:
    return int(_sums([struct.pack("<Q", length)])[0])


def _sums(texts: list[bytes]) -> np.ndarray:
    """Returns the masked checksums of texts, as in a file."""
    sums = np.fromiter(map(google_crc32c.value, texts), np.uint32, len(texts))
    return ((sums >> np.uint32(15)) | (sums << np.uint32(17))) + np.uint32(0xA282EAD8)


class Zipped:
    """A writer of a gzipped file whose bytes depend only on the content, not on the time."""

    def __init__(self, path: str):
        self._file = fileio.open(path, "wb")
        self._zip = zlib.compressobj(_COMPRESSION, zlib.DEFLATED, _GZIP)

    def write(self, content: bytes | memoryview) -> None:
        """Compresses and writes some content."""
        self._file.write(self._zip.compress(content))

    def close(self) -> None:
        """Writes the rest and closes the file."""
        self._file.write(self._zip.flush())
        self._file.close()
