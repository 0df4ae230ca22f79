"""Raw examples as sent to a server: with only the columns that a model reads.

A model being judged must not see the label, or anything else that a request does not have.
"""

from collections.abc import Iterable
from typing import Any

import pyarrow as pa
from tfx_bsl.coders import example_coder

_SHOWN_COLUMNS = 6
_SHOWN_TEXT = 40


def serialize(batch: pa.RecordBatch, columns: Iterable[str]) -> list[bytes]:
    """Serializes each row as a `tf.Example`; columns that the batch lacks are left out."""
    known = _known(batch, columns)
    if not known:
        return [b""] * batch.num_rows
    part = pa.RecordBatch.from_arrays([batch.column(name) for name in known], names=known)
    return example_coder.RecordBatchToExamplesEncoder().encode(part)


def describe(batch: pa.RecordBatch, row: int, columns: Iterable[str]) -> str:
    """Describes a row by its first columns: `size is 51.3, town is Birch, …`."""
    known = _known(batch, columns)
    parts = [
        f"{name} is {_shown(batch.column(name)[row].as_py())}" for name in known[:_SHOWN_COLUMNS]
    ]
    return ", ".join(parts + ["…"] * (len(known) > _SHOWN_COLUMNS))


def _known(batch: pa.RecordBatch, columns: Iterable[str]) -> list[str]:
    names = set(batch.schema.names)
    return [name for name in columns if name in names]


def _shown(values: list[Any] | None) -> str:
    if not values:
        return "missing"
    texts = [
        value.decode(errors="replace") if isinstance(value, bytes) else f"{value:.6g}"
        for value in values[:3]
    ]
    text = ", ".join(texts + ["…"] * (len(values) > 3))
    text = text if len(text) <= _SHOWN_TEXT else f"{text[: _SHOWN_TEXT - 1]}…"
    return text if len(values) == 1 else f"[{text}]"
