"""The programs that the containers of a compiled pipeline run."""
