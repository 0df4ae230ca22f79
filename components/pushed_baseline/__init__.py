"""The deployed model as the baseline, where no metadata store can be asked for the blessed one."""

from components.pushed_baseline.component import PushedBaseline

__all__ = ["PushedBaseline"]
