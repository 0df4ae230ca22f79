"""Finds what a candidate is compared with: the model that serves now.

Input: `candidate`, a model. Output: `model`, an artifact with `baseline.json` (a
`components.deployments.Baseline`) and, if a model serves whose files are whole, a copy of it in
TFX's layout.

A candidate that serves already is compared with nothing: beside itself every model is as good. So
unchanged runs find the same, and take it from the cache; only the first one after a deployment that
was compared with another model may not.

What serves changes without any input of this component. The driver, which runs before the cache is
asked, puts it into the parameters, and thereby into the keys of this component and, through the
artifact, of the Evaluator. V2 engines run no driver: there this component is never cached.
"""

from typing import Union

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.baseline import driver, executor


class BaselineSpec(component_spec.ComponentSpec):
    """Input, output and parameters of `Baseline`."""

    PARAMETERS = {
        executor.DIRECTORY: component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {executor.CANDIDATE: component_spec.ChannelParameter(type=standard_artifacts.Model)}
    OUTPUTS = {executor.MODEL: component_spec.ChannelParameter(type=standard_artifacts.Model)}


class Baseline(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = BaselineSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver

    def __init__(
        self, candidate: types.BaseChannel, directory: Union[str, RuntimeParameter], code: str
    ):
        """Makes the component.

        Args:
            candidate: the model that is to be judged.
            directory: the serving directory, with one directory below it for each version.
            code: a fingerprint of this component's code; another one is another cache entry.
        """
        super().__init__(
            spec=BaselineSpec(
                candidate=candidate,
                directory=directory,
                code=code,
                model=types.Channel(type=standard_artifacts.Model),
            )
        )
