"""A component that brings a curated schema into the pipeline.

Input: `statistics` (ExampleStatistics), by which optional columns without a value in the train
split are marked as DISABLED. Output: `schema` (Schema).

Why not TFX's Importer: it knows an artifact only by its path, so the cache would not notice changed
content, and the path would have to exist wherever the pipeline runs. A parameter with the text
works anywhere and is part of the cache key.
"""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.curated_schema import executor


class CuratedSchemaSpec(component_spec.ComponentSpec):
    """Input, output and parameters of `CuratedSchema`."""

    PARAMETERS = {
        "text": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "statistics": component_spec.ChannelParameter(type=standard_artifacts.ExampleStatistics)
    }
    OUTPUTS = {"schema": component_spec.ChannelParameter(type=standard_artifacts.Schema)}


class CuratedSchema(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = CuratedSchemaSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, text: str, statistics: types.BaseChannel, code: str):
        """Makes the component.

        Args:
            text: a `schema_pb2.Schema` in text format.
            statistics: statistics of the raw examples.
            code: fingerprint of this component's code, part of the cache key.
        """
        super().__init__(
            spec=CuratedSchemaSpec(
                text=text,
                code=code,
                statistics=statistics,
                schema=types.Channel(type=standard_artifacts.Schema),
            )
        )
