"""Reading and writing of examples in TFX's executors, with a few thousand rows per Beam element.

In TFX, every example is a Beam element from the reader to the writer, which took most of the time
of StatisticsGen and more than half of Transform's.
"""

import contextlib
import itertools
from collections.abc import Iterator, Sequence

import apache_beam as beam
import pyarrow as pa
from apache_beam.io.filesystems import FileSystems
from tfx.components.transform import executor as transform
from tfx.components.util import tfxio_utils
from tfx_bsl.tfxio import tf_example_record
from tfx_bsl.tfxio.tensor_representation_util import ProjectTensorRepresentationsInSchema

from components.example_io import counters, ordered_output
from components.tables import tfrecords
from models.errors import StepError

_ROWS = 1 << 12
"""Rows of a batch, unless a step asks for another size."""


class Examples(tf_example_record.TFExampleRecord):
    """TFX's reader of `tf.Example`s in TFRecords, with batches that are made as a file is read.

    Batches have the same rows in every run, while TFX chooses their size by measuring time. This
    matters: the last bits of a prediction depend on the size of its batch, as the last bits of a
    mean depend on the order of summation.
    """

    with_positions = False
    """Whether batches have the column `ordered_output.POSITION`."""

    def ArrowSchema(self) -> pa.Schema:  # noqa: D102 (TFX's)
        schema = super().ArrowSchema()
        return schema.append(ordered_output.FIELD) if self.with_positions else schema

    def BeamSource(self, batch_size: int | None = None) -> beam.PTransform:  # noqa: D102 (TFX's)
        decode = tf_example_record._DecodeBatchExamplesDoFn(
            self._GetSchemaForDecoding(), self.raw_record_column_name
        )

        def source(pipeline):
            return (
                pipeline
                | "Patterns" >> beam.Create([self._file_pattern])
                | "Files" >> beam.FlatMap(_files)
                | "Spread" >> beam.Reshuffle()
                | "Read" >> beam.FlatMap(_read, batch_size or _ROWS).with_output_types(_Rows)
                | "Decode" >> beam.ParDo(_Decode(decode, self.with_positions))
            )

        return beam.ptransform_fn(source)()

    def _ProjectImpl(self, tensor_names):
        projected = Examples(
            self._file_pattern,
            schema=ProjectTensorRepresentationsInSchema(self._schema, tensor_names),
            raw_record_column_name=self.raw_record_column_name,
            telemetry_descriptors=self.telemetry_descriptors,
        )
        projected.with_positions = self.with_positions
        return projected


_Rows = tuple[int, int, list[bytes]]
"""The index of a file, that of a row in it, and the records from there on."""


def _files(patterns: Sequence[str]) -> Iterator[tuple[int, str]]:
    matches = FileSystems.match([*patterns])
    paths = (sorted(metadata.path for metadata in match.metadata_list) for match in matches)
    yield from enumerate(itertools.chain.from_iterable(paths))


def _read(file: tuple[int, str], rows: int) -> Iterator[_Rows]:
    index, path = file
    first = 0
    with FileSystems.open(path) as content:
        try:
            for batch in tfrecords.read(content, rows):
                yield index, first, batch
                first += len(batch)
                counters.read(len(batch))
        except tfrecords.DamagedRecord as error:
            raise StepError(
                f"{path}: {error}, since it was written; remove artifacts/ and metadata.sqlite "
                "from the workspace, and run again"
            ) from None


class _Decode(beam.DoFn):
    """Decodes records with TFX's function and adds positions if wanted."""

    def __init__(self, decode: beam.DoFn, with_positions: bool):
        self._decode = decode
        self._with_positions = with_positions

    def setup(self):
        self._decode.setup()

    def process(self, rows: _Rows) -> Iterator[pa.RecordBatch]:
        file, first_row, records = rows
        for batch in self._decode.process(records):
            yield (
                ordered_output.with_positions(batch, file, first_row)
                if self._with_positions
                else batch
            )


class Processor(transform.TransformProcessor):
    """TFX's Transform, which here writes transformed batches in the order of the rows read."""

    def _CreateTFXIO(self, dataset, schema):
        examples = super()._CreateTFXIO(dataset, schema)
        examples.with_positions = True
        return examples

    @staticmethod
    def _GetTFXIOPassthroughKeys():
        return {ordered_output.POSITION}

    @staticmethod
    @beam.ptransform_fn
    def _EncodeAndWrite(pcoll, schema, file_format, output_path):
        return pcoll | "Write" >> ordered_output.Write(schema, output_path)


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
