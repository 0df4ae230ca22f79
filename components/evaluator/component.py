"""A component that judges the exported model on the raw test split.

Inputs: `examples` (raw, with a `test` split), `model` (a serving export), `serving_check` (the
report on it), `schema` and optionally `baseline_model`. Outputs: `evaluation` (TFMA's results and
`verdict.json`) and `blessing`.

Metrics and bounds depend on the constant predictor, which is computed from the train split at run
time. So the component takes `Criteria`, from which the executor makes TFMA's `EvalConfig`.
"""

from typing import Optional, Union

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.orchestration.data_types import RuntimeParameter
from tfx.types import component_spec, standard_artifacts

from components.evaluator import executor
from components.evaluator.criteria import Criteria


class EvaluatorSpec(component_spec.ComponentSpec):
    """Inputs, outputs and parameters of `Evaluator`."""

    PARAMETERS = {
        "criteria": component_spec.ExecutionParameter(type=str),
        "gates": component_spec.ExecutionParameter(type=str, optional=True),
        "new_baseline": component_spec.ExecutionParameter(type=str, optional=True),
        "example_splits": component_spec.ExecutionParameter(type=str),
        "code": component_spec.ExecutionParameter(type=str),
    }
    INPUTS = {
        "examples": component_spec.ChannelParameter(type=standard_artifacts.Examples),
        "model": component_spec.ChannelParameter(type=standard_artifacts.Model),
        executor.SERVING_CHECK: component_spec.ChannelParameter(
            type=standard_artifacts.InfraBlessing
        ),
        "baseline_model": component_spec.ChannelParameter(
            type=standard_artifacts.Model, optional=True
        ),
        "schema": component_spec.ChannelParameter(type=standard_artifacts.Schema),
    }
    OUTPUTS = {
        "evaluation": component_spec.ChannelParameter(type=standard_artifacts.ModelEvaluation),
        "blessing": component_spec.ChannelParameter(type=standard_artifacts.ModelBlessing),
    }


class Evaluator(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = EvaluatorSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(
        self,
        examples: types.BaseChannel,
        model: types.BaseChannel,
        serving_check: types.BaseChannel,
        schema: types.BaseChannel,
        criteria: Criteria,
        code: str,
        gates: Optional[Union[str, RuntimeParameter]] = None,
        new_baseline: Union[str, RuntimeParameter] = "",
        baseline_model: Optional[types.BaseChannel] = None,
    ):
        """Makes the component.

        Args:
            examples: raw examples with a `test` split.
            model: the candidate.
            serving_check: the report on the candidate.
            schema: schema of the raw examples.
            criteria: metrics, bounds and slices.
            code: fingerprint of the code behind the metrics, part of the cache key.
            gates: replacement values for the bounds, see `Criteria.with_gates`.
            new_baseline: why a person wants the candidate judged without a comparison in this run;
                empty if it is compared.
            baseline_model: output of the Baseline component: the model to compare with.
        """
        super().__init__(
            spec=EvaluatorSpec(
                examples=examples,
                model=model,
                serving_check=serving_check,
                schema=schema,
                baseline_model=baseline_model,
                criteria=criteria.to_json(),
                gates=gates,
                new_baseline=new_baseline,
                example_splits='["test"]',
                code=code,
                evaluation=types.Channel(type=standard_artifacts.ModelEvaluation),
                blessing=types.Channel(type=standard_artifacts.ModelBlessing),
            )
        )
