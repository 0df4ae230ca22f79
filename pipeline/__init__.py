"""The pipeline: its configuration, its one-page definition, and its execution."""
