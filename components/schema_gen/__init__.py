"""TFX's SchemaGen over all splits, which gives up no column and knows dates."""

from components.schema_gen.component import SchemaGen

__all__ = ["SchemaGen"]
