"""From the schema to features, and from raw columns to packed tensors."""
