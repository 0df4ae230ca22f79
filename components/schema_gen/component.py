"""Infers the schema from the statistics of all splits.

Inputs, outputs and parameters are those of `tfx.components.SchemaGen`.
"""

from tfx.components.schema_gen import component
from tfx.dsl.components.base import executor_spec

from components.schema_gen import executor


class SchemaGen(component.SchemaGen):
    """See the module."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
