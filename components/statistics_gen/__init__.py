"""TFX's StatisticsGen, which reads examples in batches."""

from components.statistics_gen.component import StatisticsGen

__all__ = ["StatisticsGen"]
