"""TFX's SchemaGen over all splits, which keeps every column and recognizes dates."""

from components.schema_gen.component import SchemaGen

__all__ = ["SchemaGen"]
