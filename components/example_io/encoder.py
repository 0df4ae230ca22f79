"""Encoder of record batches as serialized `tf.Example`s, with reproducible bytes.

tfx-bsl's `RecordBatchToExamplesEncoder` makes equal examples, but the order of their features
changes between rows and calls, and with it the bytes, the fingerprints of everything derived from
them, and the hash that decides a row's split. Here features are sorted by name: the bytes equal
`SerializeToString(deterministic=True)`, which stock ExampleGens hash.

The encoder works on whole columns: the bytes before a value (tags, lengths and the name) depend
only on the value's length, so there are few distinct prefixes, and Arrow joins them with the
values.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa

from components.tables import byte_arrays
from components.tables.byte_arrays import binary, by_code, joined, lengths

# Tags of protobuf's wire format: the field's number and type (length-delimited).
_FEATURES = b"\x0a"
_ENTRY, _KEY, _VALUE = b"\x0a", b"\x0a", b"\x12"
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = b"\x0a", b"\x12", b"\x1a"
_ITEMS = b"\x0a"

_EMPTY, _NULL = -1, -2


def encode(batch: pa.RecordBatch, nulls: bool = True) -> pa.LargeBinaryArray:
    """Encodes each row as a serialized `tf.Example`.

    Args:
        batch: columns of large lists of int64, float32 or large binary, or of nulls. An empty list
            becomes a feature without values, a null a feature without a kind.
        nulls: whether examples include the features that are null.

    Raises:
        TypeError: a column has another type.
    """
    if not batch.num_rows:
        return pa.array([], pa.large_binary())
    pieces: list[pa.LargeBinaryArray] = []
    for name in sorted(batch.schema.names, key=str.encode):
        pieces += _pieces(batch.column(name), _Entry(name.encode()), nulls)
    total = np.sum([lengths(piece) for piece in pieces], axis=0)
    header = by_code(total, lambda length: _FEATURES + _varint(length))
    return joined(header, *pieces)


def features(column: pa.Array) -> pa.LargeBinaryArray:
    """Encodes each row of a column as a serialized `tf.train.Feature`; see `encode` for types."""
    return joined(*_pieces(column, lambda start, rest: start, nulls=True))


def _pieces(
    column: pa.Array, wrapped: Callable[[bytes, int], bytes], nulls: bool
) -> list[pa.LargeBinaryArray]:
    """Returns arrays of bytes that, joined row by row, are the features of a column.

    Args:
        column: the values.
        wrapped: function that takes the first bytes of a feature and the number of bytes that
            follow, and returns the first bytes with what comes before a feature.
        nulls: whether there is a feature where the column is null.
    """
    if pa.types.is_null(column.type):
        return [by_code(np.zeros(len(column)), lambda code: wrapped(b"", 0) if nulls else b"")]
    if not pa.types.is_large_list(column.type):
        raise TypeError(f"expected a column of large lists, found {column.type}")
    kind = column.type.value_type
    offsets = column.offsets.to_numpy()
    counts = np.diff(offsets)
    values = column.values.slice(offsets[0], offsets[-1] - offsets[0])
    # Numbers are packed, with one length before all of them; each text has its own length.
    packed = True
    if kind == pa.int64():
        tag = _INT64_LIST
        payload, value_offsets = _varints(values.to_numpy())
    elif kind == pa.float32():
        tag = _FLOAT_LIST
        payload, value_offsets = values.to_numpy().view(np.uint8), 4 * np.arange(len(values) + 1)
    elif kind == pa.large_binary():
        tag = _BYTES_LIST
        packed = bool((counts <= 1).all())
        if not packed:
            values = joined(by_code(lengths(values), lambda n: _ITEMS + _varint(n)), values)
        value_offsets = byte_arrays.offsets(values)
        payload = np.frombuffer(values.buffers()[2] or b"", np.uint8)[
            value_offsets[0] : value_offsets[-1]
        ]
        value_offsets = value_offsets - value_offsets[0]
    else:
        raise TypeError(f"expected a column of int64, float32 or large binary, found {kind}")
    payloads = binary(payload, value_offsets[offsets - offsets[0]])
    codes = np.where(counts == 0, _EMPTY, lengths(payloads))
    if column.null_count:
        codes = np.where(column.is_null().to_numpy(zero_copy_only=False), _NULL, codes)

    def start(code: int) -> bytes:
        if code == _NULL:
            return wrapped(b"", 0) if nulls else b""
        if code == _EMPTY:
            return wrapped(tag + _varint(0), 0)
        items = _ITEMS + _varint(code) if packed else b""
        return wrapped(tag + _varint(len(items) + code) + items, code)

    return [by_code(codes, start), payloads]


@dataclasses.dataclass(frozen=True)
class _Entry:
    """Callable that wraps a feature as an entry of the map from names to features."""

    name: bytes

    def __call__(self, start: bytes, rest: int) -> bytes:
        key = _KEY + _varint(len(self.name)) + self.name
        entry = key + _VALUE + _varint(len(start) + rest) + start
        return _ENTRY + _varint(len(entry) + rest) + entry


def _varint(value: int) -> bytes:
    parts = bytearray()
    while value > 127:
        parts.append(value & 127 | 128)
        value >>= 7
    return bytes([*parts, value])


def _varints(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encodes int64s as varints; returns the concatenated bytes, and the offsets (n + 1)."""
    rest = numbers.view(np.uint64)
    sizes = np.ones(len(rest), np.int64)
    longest = int(rest.max()) if len(rest) else 0
    width = max(1, -(-longest.bit_length() // 7))
    digits = np.empty((len(rest), width), np.uint8)
    for byte_index in range(width):
        digits[:, byte_index] = (rest & np.uint64(127)).astype(np.uint8)
        rest = rest >> np.uint64(7)
        more = rest != 0
        digits[:, byte_index] |= more.astype(np.uint8) << 7
        sizes += more
    ends = np.concatenate([[0], np.cumsum(sizes)])
    if width == 1:
        return digits.ravel(), ends
    return digits[np.arange(width) < sizes[:, None]], ends
