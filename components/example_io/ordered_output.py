"""Writing of batches in the order of the rows that they were made from.

An engine forms bundles as it likes: it splits them, gives them to any worker and ends them in any
order. Examples in another order would train another model, so every row carries its position.
"""

import os
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
from apache_beam.transforms.window import GlobalWindow
from apache_beam.utils.windowed_value import WindowedValue
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.io import fileio
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from components.tables import byte_arrays, tfrecords

POSITION = "__row_position__"
"""Name of the column with the positions of rows; Transform passes it through."""
FIELD = pa.field(POSITION, pa.large_list(pa.int64()))
_ROW_BITS = 40

Run = tuple[int, str]
"""The position of a file's first row, and the file's path."""


def with_positions(batch: pa.RecordBatch, file: int, first_row: int) -> pa.RecordBatch:
    """Adds the column of positions.

    Args:
        batch: neighbouring rows of a file.
        file: index of the file.
        first_row: index of the first of these rows in the file.
    """
    numbers = pa.array(np.arange(batch.num_rows) + ((file << _ROW_BITS) + first_row))
    lists = pa.LargeListArray.from_arrays(np.arange(batch.num_rows + 1), numbers)
    return pa.RecordBatch.from_arrays(
        [*batch.columns, lists.cast(FIELD.type)], schema=batch.schema.append(FIELD)
    )


class Write(beam.PTransform):
    """Writes batches with positions as gzipped TFRecords, in files whose names are in order.

    Each file has rows that follow each other. The files appear once all are complete.
    """

    def __init__(self, schema: schema_pb2.Schema, prefix: str):
        """Describes what is written, and where.

        Args:
            schema: schema of the batches without positions.
            prefix: beginning of the files' paths.
        """
        super().__init__()
        self._write = _Write(schema, _unfinished(prefix))
        self._prefix = prefix

    def expand(self, batches):  # noqa: D102 (Beam's)
        runs = batches | "Runs" >> beam.ParDo(self._write)
        return (
            batches.pipeline
            | "Once" >> beam.Create([self._prefix])
            | "Finish" >> beam.Map(_finish, beam.pvalue.AsList(runs))
        )


class _Write(beam.DoFn):
    """Writes the batches of a bundle; yields a `Run` for each file.

    A file ends when a batch does not follow the one before.
    """

    def __init__(self, schema: schema_pb2.Schema, folder: str):
        self._schema = schema.SerializeToString()
        self._folder = folder
        self._encoder: Any = None
        self._runs: list[Run] = []
        self._file: tfrecords.Zipped | None = None
        self._next = -1

    def setup(self):
        self._encoder = RecordBatchToExamplesEncoder(schema_pb2.Schema.FromString(self._schema))

    def start_bundle(self):
        self._close()  # an earlier bundle may have failed
        self._runs = []

    def process(self, transformed) -> None:
        batch, _ = transformed
        index = batch.schema.get_field_index(POSITION)
        first = batch.column(index)[0][0].as_py()
        texts = self._encoder.encode(_without(batch, index))
        framed = tfrecords.frame(pa.array(texts, pa.large_binary()), texts)
        if self._file is None or first != self._next:
            self._close()
            if not self._runs:
                fileio.makedirs(self._folder)
            path = os.path.join(self._folder, uuid.uuid4().hex)
            self._runs.append((first, path))
            self._file = tfrecords.Zipped(path)
        self._file.write(byte_arrays.content(framed))
        self._next = first + batch.num_rows

    def finish_bundle(self) -> Iterator[WindowedValue]:
        self._close()
        for run in self._runs:
            yield WindowedValue(run, GlobalWindow().max_timestamp(), (GlobalWindow(),))

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None


def _finish(prefix: str, runs: Sequence[Run]) -> None:
    """Names the files in the order of their rows; without rows it writes an empty file."""
    for index, (_, path) in enumerate(sorted(runs)):
        if fileio.exists(path):  # else an earlier attempt has renamed it
            fileio.rename(path, _name(prefix, index, len(runs)))
    if not runs:
        tfrecords.Zipped(_name(prefix, 0, 1)).close()
    if fileio.exists(_unfinished(prefix)):
        fileio.rmtree(_unfinished(prefix))  # with files of bundles that were tried again


def _name(prefix: str, index: int, count: int) -> str:
    return f"{prefix}-{index:05d}-of-{count:05d}.gz"


def _unfinished(prefix: str) -> str:
    return f"{prefix}-unfinished"


def _without(batch: pa.RecordBatch, index: int) -> pa.RecordBatch:
    columns = [column for number, column in enumerate(batch.columns) if number != index]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema.remove(index))
