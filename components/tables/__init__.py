"""Reads tables: CSV, Parquet and TFRecord files, in blocks of rows with typed columns.

One reader for everything that opens a table: the checks before a run, ingestion and `predict`.
"""
