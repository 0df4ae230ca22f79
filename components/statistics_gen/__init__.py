"""TFX's StatisticsGen, which reads examples in batches."""

from components.statistics_gen.component import StatisticsGen
from components.statistics_gen.executor import MERGED_IN_ONE_STEP

__all__ = ["MERGED_IN_ONE_STEP", "StatisticsGen"]
