"""What the container of a step runs and holds, without importing TFX, which takes seconds."""

import pathlib

STEP_COMMAND = ("python", "-m", "pipeline.kubeflow.steps.step")
"""The command of every step."""
V2_STEP_COMMAND = ("python", "-m", "pipeline.kubeflow.steps.v2_step")
"""The command of every step of a V2 pipeline."""
TFJOB_FLAG = "--tfjob"
"""The Trainer's argument that holds the TFJob of its tasks, as JSON."""
POD_NAME = "POD_NAME"
"""The variable with the name of the Trainer's pod, through which it finds the run's Workflow."""
OUTPUTS_DIRECTORY = "/tmp/outputs"
"""The directory for files that Kubeflow Pipelines displays, with a subdirectory for each step."""
REPOSITORY = pathlib.Path(__file__).parents[2]
"""The project's root directory."""
IMAGE_FOLDERS = ("components", "data", "models", "pipeline")
"""The folders of the project that the image contains, in addition to the runners."""
