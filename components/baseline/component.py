"""A component that finds the baseline of a candidate: the model being served.

Input: `candidate`, a model. Output: `model`, an artifact with `baseline.json` (a
`components.deployments.Baseline`) and, if a model with intact files is served, a copy of it in
TFX's layout.

A candidate that is served already is compared with nothing, since every model equals itself. So
unchanged runs find the same baseline and use the cache, except possibly the first run after a
deployment that was compared with another model.

The served model changes without any input of this component. The driver, which runs before the
cache lookup, adds it to the parameters, and thereby to the cache keys of this component and,
through the artifact, of the Evaluator. V2 engines run no driver: there, this component is never
cached.
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
            candidate: the model to be judged.
            directory: the serving directory, which has one subdirectory per version.
            code: fingerprint of this component's code, part of the cache key.
        """
        super().__init__(
            spec=BaselineSpec(
                candidate=candidate,
                directory=directory,
                code=code,
                model=types.Channel(type=standard_artifacts.Model),
            )
        )
