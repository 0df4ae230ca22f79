"""TFX's Transform, whose `preprocessing_fn` gets the schema in its `custom_config`.

A `preprocessing_fn` is given tensors, which have lost what the schema said: that a whole number is
a category, that text is a date. Our executor adds `custom_config["schema"]` (text format).

Inputs and outputs are those of `tfx.components.Transform`.
"""

from tfx.components.transform import component
from tfx.dsl.components.base import executor_spec

from components.transform import executor


class Transform(component.Transform):
    """See the module."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
