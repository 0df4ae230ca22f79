"""TFX's ExampleValidator, which validates wide tables a group of columns at a time."""

from components.example_validator.component import ExampleValidator

__all__ = ["ExampleValidator"]
