"""A component that turns a curated schema into an artifact."""

from components.curated_schema.component import CuratedSchema

__all__ = ["CuratedSchema"]
