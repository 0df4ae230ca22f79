"""What a step's container has: told without TFX, whose import takes seconds."""

import pathlib

STEP = ("python", "-m", "pipeline.kubeflow.step")
"""The command of every step."""
OUTPUTS = "/tmp/outputs"
"""Where a step leaves what Kubeflow Pipelines shows of it, in a directory named after the step."""
REPOSITORY = pathlib.Path(__file__).parents[2]
"""What the image has in its working directory."""
