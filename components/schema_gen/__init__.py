"""TFX's SchemaGen over all splits, that gives up no column."""

from components.schema_gen.component import SchemaGen

__all__ = ["SchemaGen"]
