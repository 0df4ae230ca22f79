"""TFX's executor, with our reader of examples."""

from tensorflow_data_validation.statistics import stats_impl
from tfx.components.statistics_gen import executor

from components.example_io import beam_io

MERGED_IN_ONE_STEP: type = stats_impl._CombinerStatsGeneratorsCombineFn
"""TFDV's combine function, whose partial results Beam should merge in one step.

TFDV spreads the results of a split over 128 keys and merges them twice, which pays off when every
example is an element. Our reader yields a few thousand at a time, so there are few results, and
those of a wide table take longer to pickle than to merge. Neither TFDV nor Beam has an option for
it; `pipeline.beam.patches` sees to it.
"""


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Writes the statistics of each split."""
        with beam_io.in_batches():
            super().Do(input_dict, output_dict, exec_properties)
