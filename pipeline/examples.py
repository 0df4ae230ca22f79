"""The table's way in: an ExampleGen for its format, and hash-bucket splits."""

import glob

from tfx.components import CsvExampleGen, ImportExampleGen
from tfx.dsl.components.base import base_component
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2

from components.parquet_example_gen import ParquetExampleGen
from pipeline.config import Config, Splits


def example_gen(config: Config, directory: str | RuntimeParameter) -> base_component.BaseComponent:
    """The ExampleGen for the data's format, with outputs in the splits train, eval and test.

    Args:
        config: the problem.
        directory: the folder of the table.
    """
    path = config.data.path
    pattern = "*" if path.is_dir() else glob.escape(path.name)
    arguments = {
        "input_base": directory,
        "input_config": example_gen_pb2.Input(
            splits=[example_gen_pb2.Input.Split(name="all", pattern=pattern)]
        ),
        "output_config": example_gen_pb2.Output(split_config=_split_config(config.splits)),
    }
    if config.data.format == "csv":
        return CsvExampleGen(**arguments)
    if config.data.format == "tfrecord":
        return ImportExampleGen(**arguments).with_id("TFRecordExampleGen")
    return ParquetExampleGen(**arguments)


def _split_config(splits: Splits) -> example_gen_pb2.SplitConfig:
    return example_gen_pb2.SplitConfig(
        splits=[
            example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=getattr(splits, name))
            for name in ("train", "eval", "test")
        ],
        partition_feature_name=splits.key,
    )
