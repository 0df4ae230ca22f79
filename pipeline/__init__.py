"""What the pipeline is: its configuration, its one-page definition, and how it is run."""
