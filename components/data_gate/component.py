"""The gate between validation and training.

Input: `anomalies` (ExampleAnomalies). There is no output: nodes that must wait for the gate name it
with `add_upstream_node`.
"""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import component_spec, standard_artifacts

from components.data_gate import executor


class DataGateSpec(component_spec.ComponentSpec):
    """Inputs of `DataGate`."""

    PARAMETERS: dict = {}
    INPUTS = {
        executor.ANOMALIES: component_spec.ChannelParameter(
            type=standard_artifacts.ExampleAnomalies
        )
    }
    OUTPUTS: dict = {}


class DataGate(base_component.BaseComponent):
    """See the module."""

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, anomalies: types.BaseChannel):
        super().__init__(spec=DataGateSpec(anomalies=anomalies))
