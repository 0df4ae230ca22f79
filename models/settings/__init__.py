"""Settings of a problem, which the pipeline passes to its components as JSON."""
