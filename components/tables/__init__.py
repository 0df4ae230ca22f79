"""Readers of tables in CSV, Parquet and TFRecord files, in blocks of rows with typed columns.

Everything that opens a table uses these readers: the checks before a run, ingestion and `predict`.
"""
