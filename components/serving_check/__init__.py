"""A check that an export can be served: in a fresh process, with every signature, in any batch."""

from components.serving_check.component import ServingCheck

__all__ = ["ServingCheck"]
