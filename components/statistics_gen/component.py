"""Computes statistics of each split.

Inputs, outputs and parameters are those of `tfx.components.StatisticsGen`.
"""

from tfx.components.statistics_gen import component
from tfx.dsl.components.base import executor_spec

from components.statistics_gen import executor


class StatisticsGen(component.StatisticsGen):
    """See the module."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)
