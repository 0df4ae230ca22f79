"""Reads Parquet. TFX's own executor writes every zero and false as a missing value."""

from components.parquet_example_gen.component import ParquetExampleGen

__all__ = ["ParquetExampleGen"]
