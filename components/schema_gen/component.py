"""A component that infers the schema from the statistics of all splits and the table's types.

The output is the same as that of `tfx.components.SchemaGen`. In addition to the statistics it takes
the examples, whose ingestion report says which columns held dates or times (in Parquet).
"""

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import BaseChannel, Channel, component_spec, standard_artifacts
from tfx.types import standard_component_specs as standard
from tfx.utils import json_utils

from components.schema_gen import executor


class SchemaGenSpec(component_spec.ComponentSpec):
    """Inputs, output and parameters of `SchemaGen`."""

    PARAMETERS = {
        **standard.SchemaGenSpec.PARAMETERS,
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        **standard.SchemaGenSpec.INPUTS,
        standard.EXAMPLES_KEY: component_spec.ChannelParameter(type=standard_artifacts.Examples),
    }
    OUTPUTS = standard.SchemaGenSpec.OUTPUTS
    TYPE_ANNOTATION = standard.SchemaGenSpec.TYPE_ANNOTATION


class SchemaGen(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = SchemaGenSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, statistics: BaseChannel, examples: BaseChannel, code: str):
        """Makes the component.

        Args:
            statistics: statistics of the raw examples.
            examples: the raw examples.
            code: fingerprint of the code that infers the schema, part of the cache key.
        """
        super().__init__(
            SchemaGenSpec(
                statistics=statistics,
                examples=examples,
                infer_feature_shape=1,
                exclude_splits=json_utils.dumps([]),
                code=code,
                schema=Channel(type=standard_artifacts.Schema),
            )
        )
