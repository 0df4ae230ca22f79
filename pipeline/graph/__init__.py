"""The pipeline on one page, and what each of its nodes receives."""
