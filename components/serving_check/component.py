"""Loads the exported model in a fresh process, and asks it as a server would.

Inputs: `model` (a serving export), raw `examples` with a `test` split, and their `schema`. Output:
`serving_check`, with a `Report` in `serving_check.json`: what is wrong, in sentences. The Evaluator
puts them into its verdict, which alone decides; this component does not stop the pipeline.

The Evaluator runs where the model was trained and asks the signature `predict` with large batches.
A server has no Python function of the training's process and no file beside the export, answers by
every signature, and gets a row alone or among any others.
"""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.serving_check import executor


class ServingCheckSpec(component_spec.ComponentSpec):
    """Inputs, output and parameters of `ServingCheck`."""

    PARAMETERS = {
        executor.SECONDS: component_spec.ExecutionParameter(type=int),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        executor.MODEL: component_spec.ChannelParameter(type=standard_artifacts.Model),
        executor.EXAMPLES: component_spec.ChannelParameter(type=standard_artifacts.Examples),
        executor.SCHEMA: component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {
        executor.CHECK: component_spec.ChannelParameter(type=standard_artifacts.InfraBlessing)
    }


class ServingCheck(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = ServingCheckSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        model: types.BaseChannel,
        examples: types.BaseChannel,
        schema: types.BaseChannel,
        code: str,
        seconds: int = 120,
    ):
        """Makes the component.

        Args:
            model: the candidate.
            examples: raw examples with a `test` split.
            schema: of the raw examples.
            code: a fingerprint of this component's code; another one is another cache entry.
            seconds: how long the model may take to be loaded and to answer.
        """
        super().__init__(
            spec=ServingCheckSpec(
                model=model,
                examples=examples,
                schema=schema,
                code=code,
                seconds=seconds,
                serving_check=types.Channel(type=standard_artifacts.InfraBlessing),
            )
        )
