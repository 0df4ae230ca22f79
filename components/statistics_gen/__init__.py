"""TFX's StatisticsGen, that reads examples in batches."""

from components.statistics_gen.component import StatisticsGen

__all__ = ["StatisticsGen"]
