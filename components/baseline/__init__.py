"""A component that finds the baseline of a candidate: the model being served."""

from components.baseline.component import Baseline

__all__ = ["Baseline"]
