"""What a candidate is compared with: the model that serves now."""

from components.baseline.component import Baseline

__all__ = ["Baseline"]
