"""A component that loads the exported model in a fresh process and calls it as a server would.

Inputs: `model` (a serving export), raw `examples` with a `test` split, and their `schema`. Output:
`serving_check`, with a `Report` in `serving_check.json`: the problems found, in sentences. The
Evaluator adds them to its verdict, which alone decides; this component never stops the pipeline.

The Evaluator runs where the model was trained and calls the signature `predict` with large batches.
A server has neither the Python functions of the training process nor files outside the export,
offers every signature, and may receive a row alone or with any others.
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
            schema: schema of the raw examples.
            code: fingerprint of this component's code, part of the cache key.
            seconds: time limit for loading the model and for all its answers.
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
