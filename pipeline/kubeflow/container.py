"""What a step's container has: told without TFX, whose import takes seconds."""

import pathlib

STEP = ("python", "-m", "pipeline.kubeflow.step")
"""The command of every step."""
TFJOB = "--tfjob"
"""The argument of the Trainer's step that has the TFJob of its tasks, as JSON."""
POD_NAME = "POD_NAME"
"""The variable of that step with the name of its pod, by which it finds the run that it is of."""
V2_STEP = ("python", "-m", "pipeline.kubeflow.v2_step")
"""The command of every step of a V2 pipeline."""
OUTPUTS = "/tmp/outputs"
"""Where a step leaves what Kubeflow Pipelines shows of it, in a directory named after the step."""
REPOSITORY = pathlib.Path(__file__).parents[2]
"""The project, a part of which the image has in its working directory ..."""
IN_IMAGE = ("components", "data", "models", "pipeline")
"""... these folders (and the runners)."""
