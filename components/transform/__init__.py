"""TFX's Transform, with a `preprocessing_fn` that sees the schema."""

from components.transform.component import Transform

__all__ = ["Transform"]
