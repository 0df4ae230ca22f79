"""Assignment of rows to splits, by the SHA-256 of the key's feature or of the whole example.

This gives the same splits as stock ExampleGens.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from components.example_io import encoder
from components.tables import byte_arrays
from components.tables.table import BadTable, Piece, Rows


@dataclasses.dataclass(frozen=True)
class Splits:
    """Rule that assigns rows to splits.

    Attributes:
        names: names of the splits.
        ends: for each split, the first hash bucket after its own; empty if each file belongs to one
            split as a whole.
        key: column to hash; by default, the whole row is hashed.
    """

    names: tuple[str, ...]
    ends: tuple[int, ...] = ()
    key: str | None = None

    def of_rows(self, rows: Rows, texts: Sequence[bytes], piece: Piece) -> np.ndarray:
        """Returns the index of each row's split.

        Args:
            rows: the rows.
            texts: the serialized example of each row.
            piece: the piece that the rows are from.

        Raises:
            BadTable: a row has no key, or the key is not text or a whole number.
        """
        if not self.ends:
            return np.full(len(texts), piece.split)
        if not self.key:
            if rows.records is not None:
                texts = byte_arrays.texts(encoder.encode(rows.batch, nulls=False))
            return self._of_texts(texts)
        keys = self._keys(rows, piece).dictionary_encode()
        return self._of_texts(keys.dictionary.to_pylist())[keys.indices.to_numpy()]

    def _of_texts(self, texts: Sequence[bytes]) -> np.ndarray:
        total = np.uint64(self.ends[-1])
        digests = b"".join([hashlib.sha256(text).digest() for text in texts])
        words = np.frombuffer(digests, ">u4").reshape(-1, 8).astype(np.uint64)
        # A digest is a 256-bit number; its remainder is computed 32 bits at a time.
        buckets = np.zeros(len(texts), np.uint64)
        for index in range(8):
            buckets = ((buckets << np.uint64(32)) + words[:, index]) % total
        return np.searchsorted(self.ends, buckets, side="right")

    def _keys(self, rows: Rows, piece: Piece) -> pa.LargeBinaryArray:
        if self.key not in rows.batch.schema.names:
            raise BadTable(f"{piece.file}: splits.key: no column {self.key}")
        column = rows.batch.column(self.key)
        if not pa.types.is_large_list(column.type) or column.type.value_type == pa.float32():
            raise BadTable(
                f"{piece.file}: splits.key: {self.key} does not hold text or whole numbers"
            )
        if column.null_count or (np.diff(column.offsets.to_numpy()) == 0).any():
            raise BadTable(
                f"{piece.file}: splits.key: {self.key} is empty in a row; fill it in, or remove "
                "the row"
            )
        return encoder.features(column)
