"""A component that computes the statistics of each split.

Inputs and outputs are the same as in `tfx.components.StatisticsGen`.
"""

import tensorflow_data_validation as tfdv
from tfx import types
from tfx.components.statistics_gen import component
from tfx.dsl.components.base import executor_spec

from components.statistics_gen import executor

QUANTILES = 1
"""Number of bins in the quantile histogram of a numeric column.

TFDV builds the equal-width histogram from a hundred times as many bins, one by one in Python; with
its default of 10, that takes most of the time on a wide table.
"""


class StatisticsGen(component.StatisticsGen):
    """See the module."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(self, examples: types.BaseChannel):
        """Makes the component.

        Args:
            examples: raw examples.
        """
        options = tfdv.StatsOptions(num_quantiles_histogram_buckets=QUANTILES)
        super().__init__(examples=examples, stats_options=options)
