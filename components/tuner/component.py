"""Finds the hyperparameters with which the Estimator does best on the eval split.

Inputs: `examples` (transformed, with the splits train and eval), `transform_graph` and `schema`.
Outputs: `best_hyperparameters`, which the Trainer reads, and `tuner_results` (`trials.json`: every
trial, with the course of its evaluations).

Why not TFX's own Tuner: KerasTuner, which is behind it, has its loop around Keras' `fit`, and an
Estimator would be one black box for each trial. Optuna takes the evaluations that
`train_and_evaluate` makes on its way, and prunes by them; it keeps the trials in a SQLite file,
from which a killed search goes on; and its samplers can be seeded trial by trial.
"""

import json
from collections.abc import Mapping
from typing import Any, Union

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.tuner import executor


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
        problem: Mapping[str, Any],
        training_root: Union[str, RuntimeParameter],
        tune: Mapping[str, Any],
        code: str,
    ):
        """Makes the component.

        Args:
            examples: transformed examples.
            transform_graph: Transform's.
            schema: of the raw examples.
            problem: see `models.problem.Problem`.
            training_root: the directory of all trainings, where the search has one too.
            tune: see `study.Study`, and `parallel`: trials that run at a time.
            code: a fingerprint of this component's code; another one is another search.
        """
        super().__init__(
            spec=TunerSpec(
                examples=examples,
                transform_graph=transform_graph,
                schema=schema,
                problem=json.dumps(problem),
                training_root=training_root,
                tune=json.dumps(tune),
                code=code,
                **{
                    executor.BEST: types.Channel(type=standard_artifacts.HyperParameters),
                    executor.RESULTS: types.Channel(type=standard_artifacts.TunerResults),
                },
            )
        )
