"""Finds the last blessed model without a Resolver: it is what was deployed last.

Input: none. Output: `model`, a copy of the newest version of the serving directory in TFX's layout,
or an empty artifact if nothing was ever pushed.

Only blessed models are pushed, so the newest deployed version is the last blessed model. V2
pipelines need this: their compiler (TFX's `kubeflow/v2/step_builder.py`) knows no strategy but
TFX's own two, and open-source Kubeflow Pipelines runs no Resolver at all (its
`backend/src/v2/compiler/visitor.go`: "non-container and non-importer executor not implemented").

What is deployed changes without any input of this component: it must never come from a cache.
"""

from typing import Union

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.pushed_baseline import executor


class PushedBaselineSpec(component_spec.ComponentSpec):
    """Parameter and output of `PushedBaseline`."""

    PARAMETERS = {executor.DIRECTORY: component_spec.ExecutionParameter(type=str)}
    INPUTS: dict = {}
    OUTPUTS = {executor.MODEL: component_spec.ChannelParameter(type=standard_artifacts.Model)}


class PushedBaseline(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = PushedBaselineSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, directory: Union[str, RuntimeParameter]):
        """Makes the component.

        Args:
            directory: the serving directory, with one directory below it for each version.
        """
        super().__init__(
            spec=PushedBaselineSpec(
                directory=directory, model=types.Channel(type=standard_artifacts.Model)
            )
        )
