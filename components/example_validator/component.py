"""A component that validates statistics against the schema.

Inputs, outputs and parameters are the same as in `tfx.components.ExampleValidator`.
"""

from tfx.components.example_validator import component
from tfx.dsl.components.base import executor_spec

from components.example_validator import executor


class ExampleValidator(component.ExampleValidator):
    """See the module."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
