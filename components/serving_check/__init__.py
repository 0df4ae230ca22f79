"""Checks that an export serves: in another process, alone and in batches, by every signature."""

from components.serving_check.component import ServingCheck

__all__ = ["ServingCheck"]
