"""A component that searches for the hyperparameters that do best on the eval split.

Inputs: `examples` (transformed, with the splits train and eval), `transform_graph` and `schema`.
Outputs: `best_hyperparameters`, which the Trainer reads, and `tuner_results` (`trials.json`: every
trial, with its evaluations).

Why not TFX's own Tuner: it uses KerasTuner, whose loop is built around Keras' `fit`; the training
of an Estimator would be a black box to it. Optuna prunes by the evaluations that
`train_and_evaluate` makes on the way, keeps its trials in a SQLite file from which a killed search
resumes, and has samplers that can be seeded for each trial.
"""

from typing import Union

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.tuner import executor
from components.tuner.tune_settings import TuneSettings
from models.settings.training_settings import Settings


class TunerSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of `Tuner`."""

    PARAMETERS = {
        "problem": component_spec.ExecutionParameter(type=str),
        "training_root": component_spec.ExecutionParameter(type=str),
        "tune": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "transform_graph": component_spec.ChannelParameter(type=standard_artifacts.TransformGraph),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {
        executor.BEST: component_spec.ChannelParameter(type=standard_artifacts.HyperParameters),
        executor.RESULTS: component_spec.ChannelParameter(type=standard_artifacts.TunerResults),
    }


class Tuner(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = TunerSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        transform_graph: types.BaseChannel,
        schema: types.BaseChannel,
        problem: Settings,
        training_root: Union[str, RuntimeParameter],
        tune: TuneSettings,
        code: str,
    ):
        """Makes the component.

        Args:
            examples: transformed examples.
            transform_graph: output of Transform.
            schema: schema of the raw examples.
            problem: the settings of the problem.
            training_root: directory of all trainings, in which the search has a subdirectory.
            tune: the settings of the search.
            code: fingerprint of this component's code; a change starts a new search.
        """
        super().__init__(
            spec=TunerSpec(
                examples=examples,
                transform_graph=transform_graph,
                schema=schema,
                problem=problem.to_json(),
                training_root=training_root,
                tune=tune.to_json(),
                code=code,
                **{
                    executor.BEST: types.Channel(type=standard_artifacts.HyperParameters),
                    executor.RESULTS: types.Channel(type=standard_artifacts.TunerResults),
                },
            )
        )
