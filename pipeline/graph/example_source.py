"""Configures ExampleGen: the table's format and types, and its splits by hash buckets."""

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base import base_component
from tfx.orchestration.data_types import RuntimeParameter
from tfx.proto import example_gen_pb2

from components.table_example_gen import Options, TableExampleGen
from pipeline.config.configuration import Config
from pipeline.config.data_config import Data, Splits
from pipeline.graph import fingerprint


def example_gen(config: Config, directory: str | RuntimeParameter) -> base_component.BaseComponent:
    """Returns an ExampleGen that writes the splits train, eval and test.

    Args:
        config: the problem's configuration.
        directory: the folder that holds the table.
    """
    data = config.data
    return TableExampleGen(
        input_base=directory,
        input_config=example_gen_pb2.Input(
            splits=[example_gen_pb2.Input.Split(name="all", pattern=data.pattern)]
        ),
        output_config=example_gen_pb2.Output(split_config=_split_config(config.splits)),
        options=Options(
            format=data.format,
            encoding=data.encoding,
            missing=data.missing_words,
            kinds=_kinds(data),
            classes=[name for name, task in config.tasks.items() if task != "regression"],
            on_bad_rows=data.on_bad_rows,
            max_bad_share=data.max_bad_share,
            code=fingerprint.of_modules(
                "components.example_io", "components.tables", "components.table_example_gen"
            ),
        ),
    )


def _split_config(splits: Splits) -> example_gen_pb2.SplitConfig:
    return example_gen_pb2.SplitConfig(
        splits=[
            example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=getattr(splits, name))
            for name in ("train", "eval", "test")
        ],
        partition_feature_name=splits.key,
    )


def _kinds(data: Data) -> dict[str, str]:
    """Returns the schema's types of CSV columns; other formats carry their own types."""
    if data.format != "csv" or not data.schema_file:
        return {}
    text = data.schema_file.read_text(encoding="utf-8")
    schema = text_format.Parse(text, schema_pb2.Schema())
    known = (schema_pb2.INT, schema_pb2.FLOAT, schema_pb2.BYTES)
    return {
        feature.name: schema_pb2.FeatureType.Name(feature.type)
        for feature in schema.feature
        if feature.type in known
    }
