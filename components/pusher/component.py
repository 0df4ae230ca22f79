"""Deploys a blessed model as a new version of a serving directory.

Inputs: `model` and `model_blessing`. Output: `pushed_model`.
"""

from typing import Union

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.pusher import executor


class PusherSpec(component_spec.ComponentSpec):
    """Inputs, output and parameter of `Pusher`."""

    PARAMETERS = {"directory": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }
    OUTPUTS = {
        "pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel),
    }


class Pusher(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        directory: Union[str, RuntimeParameter],
    ):
        """Makes the component.

        Args:
            model: the candidate.
            model_blessing: the Evaluator's.
            directory: the serving directory, with one directory below it for each version.
        """
        super().__init__(
            spec=PusherSpec(
                model=model,
                model_blessing=model_blessing,
                directory=directory,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
