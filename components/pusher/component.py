"""A component that deploys a blessed model as a new version in a serving directory.

Inputs: `model`, `model_blessing`, and `evaluation` with the verdict, which says what the model was
compared with. Output: `pushed_model`, whose custom properties say where the model is served
(`pushed_destination`), whether it already was (`unchanged`), or why it was not pushed
(`kept_back`).

Whether to push depends on what is served at the moment, so results are never taken from the cache.
"""

from typing import Union

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.pusher import driver, executor


class PusherSpec(component_spec.ComponentSpec):
    """Inputs, output and parameter of `Pusher`."""

    PARAMETERS = {"directory": component_spec.ExecutionParameter(type=str)}
    INPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
    }
    OUTPUTS = {
        "pushed_model": component_spec.ChannelParameter(type=standard_artifacts.PushedModel),
    }


class Pusher(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = PusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)
    DRIVER_CLASS = driver.Driver

    def __init__(
        self,
        model: types.BaseChannel,
        model_blessing: types.BaseChannel,
        evaluation: types.BaseChannel,
        directory: Union[str, RuntimeParameter],
    ):
        """Makes the component.

        Args:
            model: the candidate.
            model_blessing: the Evaluator's blessing.
            evaluation: the Evaluator's results, with the verdict.
            directory: the serving directory, which has one subdirectory per version.
        """
        super().__init__(
            spec=PusherSpec(
                model=model,
                model_blessing=model_blessing,
                evaluation=evaluation,
                directory=directory,
                pushed_model=types.Channel(type=standard_artifacts.PushedModel),
            )
        )
