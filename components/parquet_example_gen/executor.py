"""Arrow tables to `tf.Example`s, a batch at a time."""

import os
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tfx.components.example_gen import base_example_gen_executor
from tfx.types import standard_component_specs
from tfx_bsl.coders import example_coder


class Executor(base_example_gen_executor.BaseExampleGenExecutor):
    """See the module."""

    def GetInputSourceToExamplePTransform(self):
        """The transform that TFX's ExampleGen splits and writes the output of."""
        return _parquet_to_examples


@beam.ptransform_fn
@beam.typehints.with_input_types(beam.Pipeline)
@beam.typehints.with_output_types(tf.train.Example)
def _parquet_to_examples(
    pipeline: beam.Pipeline, exec_properties: dict[str, Any], split_pattern: str
) -> beam.PCollection:
    folder = exec_properties[standard_component_specs.INPUT_BASE_KEY]
    return (
        pipeline
        | "Read" >> beam.io.ReadFromParquetBatched(os.path.join(folder, split_pattern))
        | "ToExamples" >> beam.FlatMap(to_examples)
    )


def to_examples(table: pa.Table) -> Iterator[tf.train.Example]:
    """The rows of a table as examples; a null is a feature without a value.

    Whole numbers and booleans become int64, other numbers float, text, days and times bytes
    (`2014-10-13`, `2014-10-13 08:30:00`). Lists of them are lists of these.

    Raises:
        ValueError: a column of another type, or a list with a null in it.
    """
    columns = {
        name: _lists(name, column.combine_chunks())
        for name, column in zip(table.column_names, table.columns)
    }
    encoder = example_coder.RecordBatchToExamplesEncoder()
    for record in encoder.encode(pa.RecordBatch.from_pydict(columns)):
        yield tf.train.Example.FromString(record)


def _lists(name: str, column: pa.Array) -> pa.Array:
    """One list for each row: its own, or of its one value; of none where it is null."""
    kind = column.type
    of_lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(test(kind) for test in of_lists):
        return _single_value_lists(_to_feature_type(name, column))
    values = _to_feature_type(name, column.drop_null().flatten())
    if values.null_count:
        raise ValueError(f"column {name}: found a list with a null in it; remove the null")
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int64())
    lists = pa.LargeListArray.from_arrays(offsets, values)
    # A schema calls lists by that name only if none is empty: an absent one says the same.
    return pc.if_else(pa.array(lengths > 0), lists, pa.scalar(None, lists.type))


def _to_feature_type(name: str, column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _to_feature_type(name, column.dictionary_decode())
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return column.cast(pa.int64())
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64()).cast(pa.float32())
    if pa.types.is_temporal(kind):
        column = column.cast(pa.string())
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return column.cast(pa.large_binary())
    elif not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise ValueError(
            f"column {name}: found the Parquet type {kind}, expected numbers, booleans, text or "
            "dates; convert it or leave it out of the file"
        )
    return column.cast(pa.large_string()).cast(pa.large_binary())


def _single_value_lists(column: pa.Array) -> pa.Array:
    """One list for each row: of its one value, or of none where it is null."""
    ends = np.cumsum(column.is_valid().to_numpy(zero_copy_only=False))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, column.drop_null())
