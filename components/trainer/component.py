"""A component that trains the Estimator by `models.training.trainer.run_fn`.

Inputs: `examples` (transformed, with the splits train and eval), `transform_graph`, `schema` and
optionally `hyperparameters` from a Tuner. Outputs: `model` and `model_run`.

Why not TFX's own component: the checkpoint directory and the length of training may differ between
runs of one compiled pipeline, and a runtime parameter of TFX can only replace a whole argument, not
a value inside `custom_config`.
"""

from typing import Optional, Union

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.trainer import executor
from models.settings.training_settings import Settings


class TrainerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of `Trainer`."""

    PARAMETERS = {
        "problem": component_spec.ExecutionParameter(type=str),
        "training_root": component_spec.ExecutionParameter(type=str),
        "max_steps": component_spec.ExecutionParameter(type=int),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
        "hyperparameters": component_spec.ChannelParameter(
            type=standard_artifacts.HyperParameters, optional=True
        ),
    }
    OUTPUTS = {
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        "model_run": component_spec.ChannelParameter(type=standard_artifacts.ModelRun),
    }


class Trainer(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = TrainerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        schema: types.BaseChannel,
        problem: Settings,
        training_root: Union[str, RuntimeParameter],
        max_steps: Union[int, RuntimeParameter] = 0,
        hyperparameters: Optional[types.BaseChannel] = None,
    ):
        """Makes the component.

        Args:
            examples: transformed examples.
            transform_graph: output of Transform.
            schema: schema of the raw examples.
            problem: the settings of the problem.
            training_root: directory of the checkpoints of all trainings.
            max_steps: length of training in steps; 0 keeps the problem's.
            hyperparameters: values that replace the problem's.
        """
        super().__init__(
            spec=TrainerSpec(
                examples=examples,
                transform_graph=transform_graph,
                schema=schema,
                hyperparameters=hyperparameters,
                problem=problem.to_json(),
                training_root=training_root,
                max_steps=max_steps,
                model=types.Channel(type=standard_artifacts.Model),
                model_run=types.Channel(type=standard_artifacts.ModelRun),
            )
        )
