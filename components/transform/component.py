"""TFX's Transform, with a `preprocessing_fn` that receives the schema in its `custom_config`.

A `preprocessing_fn` receives tensors, which no longer tell what the schema did: that a whole number
is a category, that text is a date. Our executor adds `custom_config["schema"]` (text format).

Inputs and outputs are the same as in `tfx.components.Transform`.
"""

from tfx.components.transform import component
from tfx.dsl.components.base import executor_spec

from components.transform import executor


class Transform(component.Transform):
    """See the module."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
