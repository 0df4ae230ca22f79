"""Reading and writing of examples in TFX's executors, with a few thousand rows per Beam element.

In TFX, every example is a Beam element from the reader to the writer, which took most of the time
of StatisticsGen and more than half of Transform's.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import pyarrow as pa
from apache_beam.io import filebasedsink
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.transform import executor as transform
from tfx.components.util import tfxio_utils
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder
from tfx_bsl.tfxio import tf_example_record
from tfx_bsl.tfxio.tensor_representation_util import ProjectTensorRepresentationsInSchema

from components.example_io import counters
from components.tables import byte_arrays, tfrecords
from models.errors import StepError

_ROWS = 1 << 12
"""Rows of a batch, unless a step asks for another size."""


class Examples(tf_example_record.TFExampleRecord):
    """TFX's reader of `tf.Example`s in TFRecords, with batches that are made as a file is read.

    Batches have the same rows in every run, while TFX chooses their size by measuring time. This
    matters: the last bits of a prediction depend on the size of its batch, as the last bits of a
    mean depend on the order of summation.
    """

    def BeamSource(self, batch_size: int | None = None) -> beam.PTransform:  # noqa: D102 (TFX's)
        decode = tf_example_record._DecodeBatchExamplesDoFn(
            self._GetSchemaForDecoding(), self.raw_record_column_name
        )

        def source(pipeline):
            return (
                pipeline
                | "Patterns" >> beam.Create(self._file_pattern)
                | "Files" >> beam.FlatMap(_files)
                | "Spread" >> beam.Reshuffle()
                | "Read" >> beam.FlatMap(_read, batch_size or _ROWS).with_output_types(list[bytes])
                | "Decode" >> beam.ParDo(decode)
            )

        return beam.ptransform_fn(source)()

    def _ProjectImpl(self, tensor_names):
        return Examples(
            self._file_pattern,
            schema=ProjectTensorRepresentationsInSchema(self._schema, tensor_names),
            raw_record_column_name=self.raw_record_column_name,
            telemetry_descriptors=self.telemetry_descriptors,
        )


def _files(pattern: str) -> list[str]:
    (match,) = FileSystems.match([pattern])
    return sorted(metadata.path for metadata in match.metadata_list)


def _read(path: str, rows: int) -> Iterator[list[bytes]]:
    with FileSystems.open(path) as file:
        try:
            for batch in tfrecords.read(file, rows):
                yield batch
                counters.read(len(batch))
        except tfrecords.DamagedRecord as error:
            raise StepError(
                f"{path}: {error}, since it was written; remove artifacts/ and metadata.sqlite "
                "from the workspace, and run again"
            ) from None


class Processor(transform.TransformProcessor):
    """TFX's Transform, which here writes each transformed batch as one element."""

    @staticmethod
    @beam.ptransform_fn
    def _EncodeAndWrite(pcoll, schema, file_format, output_path):
        return (
            pcoll
            | "Encode" >> beam.ParDo(_Encode(schema))
            | "Write" >> beam.io.Write(_Sink(output_path))
        )


class _Encode(beam.DoFn):
    """Encodes a transformed batch as the bytes of framed TFRecords."""

    def __init__(self, schema):
        self._schema = schema.SerializeToString()
        self._encoder: Any = None

    def setup(self):
        self._encoder = RecordBatchToExamplesEncoder(schema_pb2.Schema.FromString(self._schema))

    def process(self, transformed) -> Iterator[bytes]:
        batch, _ = transformed
        texts = self._encoder.encode(batch)
        framed = tfrecords.frame(pa.array(texts, pa.large_binary()), texts)
        yield bytes(byte_arrays.content(framed))


class _Sink(filebasedsink.FileBasedSink):
    """A sink of gzipped files, one per bundle, which appear once all are complete."""

    def __init__(self, prefix: str):
        super().__init__(
            prefix,
            beam.coders.BytesCoder(),
            file_name_suffix=".gz",
            compression_type=CompressionTypes.UNCOMPRESSED,
        )

    def open(self, temp_path):
        return tfrecords.Zipped(temp_path)

    def write_record(self, file_handle, value):
        file_handle.write(value)

    def finalize_write(self, init_result, writer_results, pre_finalize_results):
        """Numbers the files in the order of bundles, since Beam sorts them by random names."""
        numbered = []
        for index, path in enumerate(writer_results):
            folder, name = FileSystems.split(path)
            numbered.append(FileSystems.join(folder, f"{index:05d}-{name}"))
            if FileSystems.exists(path):  # else an earlier attempt has renamed it
                FileSystems.rename([path], [numbered[-1]])
        yield from super().finalize_write(init_result, numbered, pre_finalize_results)


@contextlib.contextmanager
def in_batches() -> Iterator[None]:
    """Context manager: TFX's executors, which offer no such option, read and write in batches."""
    parts = (
        (tfxio_utils.tf_example_record, "TFExampleRecord", Examples),
        (transform, "TransformProcessor", Processor),
    )
    kept = [getattr(module, name) for module, name, _ in parts]
    for module, name, ours in parts:
        setattr(module, name, ours)
    try:
        yield
    finally:
        for (module, name, _), theirs in zip(parts, kept):
            setattr(module, name, theirs)
