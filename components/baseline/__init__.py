"""Which blessed model a candidate is compared with."""

from components.baseline.strategy import BaselineStrategy

__all__ = ["BaselineStrategy"]
