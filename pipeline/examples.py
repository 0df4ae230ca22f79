"""The table's way in: an ExampleGen for its format, hash-bucket splits, the curated schema."""

import glob
import hashlib
import pathlib
import shutil

from tfx.components import CsvExampleGen, ImportExampleGen
from tfx.dsl.components.base import base_component
from tfx.proto import example_gen_pb2

from components.parquet_example_gen import ParquetExampleGen
from pipeline.config import Config, Splits
from pipeline.workspace import Workspace


def example_gen(config: Config) -> base_component.BaseComponent:
    """The ExampleGen for the data's format, with outputs in the splits train, eval and test."""
    path = config.data.path
    directory, pattern = (path, "*") if path.is_dir() else (path.parent, glob.escape(path.name))
    arguments = {
        "input_base": str(directory),
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


def schema_directory(schema_file: pathlib.Path, workspace: Workspace) -> pathlib.Path:
    """Puts the curated schema into a directory of its own, named by its content.

    A Schema artifact is a directory with one file, and TFX's cache knows an imported artifact by
    its path alone; so another content must be another path.
    """
    content = schema_file.read_bytes()
    directory = workspace.artifacts / "schema" / hashlib.sha256(content).hexdigest()[:16]
    if not directory.exists():
        partial = directory.with_suffix(".partial")
        partial.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(schema_file, partial / "schema.pbtxt")
        partial.rename(directory)
    return directory
