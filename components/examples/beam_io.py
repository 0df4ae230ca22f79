"""Reading and writing examples in TFX's executors, some thousand rows as one element.

TFX has Beam hand on each example by itself, from the reader on and up to the writer; that was most
of the time of StatisticsGen, and more than half of Transform's.
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

from components.examples import counters, encoder, tfrecords

_ROWS = 1 << 12
"""Of a batch, unless a step wants others."""


class Examples(tf_example_record.TFExampleRecord):
    """TFX's reader of `tf.Example`s in TFRecords; its batches are made where the file is read.

    They have the same rows in every run. The size of TFX's follows the clock; and the last bits of
    what a model predicts for an example depend on how many others it is computed with, as those of
    a mean do on what is added up first.
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
    return sorted(found.path for found in match.metadata_list)


def _read(path: str, rows: int) -> Iterator[list[bytes]]:
    with FileSystems.open(path) as file:
        try:
            for batch in tfrecords.read(file, rows):
                yield batch
                counters.read(len(batch))
        except tfrecords.DamagedRecord as error:
            raise ValueError(
                f"{path}: {error}, since it was written; remove artifacts/ and metadata.sqlite "
                "from the workspace, and run again"
            ) from None


class Processor(transform.TransformProcessor):
    """TFX's Transform; what it makes of a batch is written as one element."""

    @staticmethod
    @beam.ptransform_fn
    def _EncodeAndWrite(pcoll, schema, file_format, output_path):
        return (
            pcoll
            | "Encode" >> beam.ParDo(_Encode(schema))
            | "Write" >> beam.io.Write(_Sink(output_path))
        )


class _Encode(beam.DoFn):
    """The records of a transformed batch as they stand in a file."""

    def __init__(self, schema):
        self._schema = schema.SerializeToString()
        self._encoder: Any = None

    def setup(self):
        self._encoder = RecordBatchToExamplesEncoder(schema_pb2.Schema.FromString(self._schema))

    def process(self, transformed) -> Iterator[bytes]:
        batch, _ = transformed
        texts = self._encoder.encode(batch)
        framed = tfrecords.frame(pa.array(texts, pa.large_binary()), texts)
        yield bytes(encoder.content(framed))


class _Sink(filebasedsink.FileBasedSink):
    """One zipped file for each bundle, which counts when all are whole."""

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
        """Numbers the files in the order of the bundles: their names are random, and Beam sorts."""
        numbered = []
        for number, path in enumerate(writer_results):
            folder, name = FileSystems.split(path)
            numbered.append(FileSystems.join(folder, f"{number:05d}-{name}"))
            if FileSystems.exists(path):  # else this is another attempt
                FileSystems.rename([path], [numbered[-1]])
        yield from super().finalize_write(init_result, numbered, pre_finalize_results)


@contextlib.contextmanager
def in_batches() -> Iterator[None]:
    """Within it TFX's executors read and write so; they take no other reader by argument."""
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
