"""The runtime parameters of a run on a cluster, with defaults from the configuration."""

import dataclasses
import os
import pathlib
from typing import Any

from tfx.orchestration.data_types import RuntimeParameter

from models.errors import UserError
from pipeline.config.configuration import Config
from pipeline.config.kubeflow_config import Kubeflow
from pipeline.graph import arguments
from pipeline.graph.arguments import Arguments
from pipeline.kubeflow.compile.run_parameters import literal
from pipeline.kubeflow.parameter_names import (
    DATA_DIRECTORY,
    GATES,
    MAX_STEPS,
    NEW_BASELINE,
    SERVING_DIRECTORY,
    TRAINING_ROOT,
)
from pipeline.kubeflow.step_container import IMAGE_FOLDERS, REPOSITORY

_LONGEST_NAME = 128  # limit for the name of a V2 pipeline


def of_cluster(config: Config, kubeflow: Kubeflow) -> Arguments:
    """Returns the arguments of a pipeline on a cluster.

    Args:
        config: the problem's configuration.
        kubeflow: its `kubeflow` section.

    Raises:
        UserError: steps would not find the table, or Argo would misread its folder's name.
    """
    workspace = kubeflow.workspace.rstrip("/")

    def parameter(name: str, default: str) -> RuntimeParameter:
        return RuntimeParameter(name=name, ptype=str, default=default)

    return Arguments(
        pipeline_name=config.name,
        pipeline_root=f"{workspace}/artifacts",
        metadata=None,
        data_directory=parameter(DATA_DIRECTORY, kubeflow.data or _in_image(config)),
        training_root=parameter(TRAINING_ROOT, f"{workspace}/training"),
        serving_directory=parameter(SERVING_DIRECTORY, kubeflow.push or f"{workspace}/serving"),
        max_steps=RuntimeParameter(name=MAX_STEPS, ptype=int, default=config.train.max_steps or 0),
        gates=parameter(GATES, literal(arguments.gates_of(config))) if config.gates else None,
        new_baseline=parameter(NEW_BASELINE, ""),
    )


def of_v2(config: Config, kubeflow: Kubeflow) -> Arguments:
    """Returns the arguments of a V2 pipeline, whose name may not contain underscores.

    Raises:
        UserError: see `of_cluster`.
    """
    name = config.name.replace("_", "-")[:_LONGEST_NAME].strip("-")
    return dataclasses.replace(of_cluster(config, kubeflow), pipeline_name=name)


def defaults(arguments: Arguments) -> dict[str, Any]:
    """Returns the default value of each runtime parameter, by name."""
    values = [getattr(arguments, field.name) for field in dataclasses.fields(arguments)]
    return {value.name: value.default for value in values if isinstance(value, RuntimeParameter)}


def python_path(config: Config) -> str:
    """Returns the steps' PYTHONPATH: the code, and the configuration's folder if in the image."""
    folders = [".", relative_folder(config)]
    return os.pathsep.join(folder for folder in dict.fromkeys(folders) if folder)


def relative_folder(config: Config) -> str | None:
    """Returns the path of the configuration's folder in the image; None if it is not there."""
    return _of_image(config.folder)


def _in_image(config: Config) -> str:
    folder = _of_image(config.data.folder)
    if folder is None:
        raise UserError(
            f"kubeflow.data: missing; {config.data.folder} is not in the image, which contains "
            f"{', '.join(IMAGE_FOLDERS)} of this project; move it into data/, or name the folder "
            "that has the table on the cluster, such as gs://bucket/houses"
        )
    if "{{" in folder:
        raise UserError(
            f"data.path: found the folder {folder}, in which Argo reads {{{{ as the start of "
            "a variable; rename it"
        )
    return folder


def _of_image(folder: pathlib.Path) -> str | None:
    """Returns a folder's path in the image; None if it is not there."""
    if not folder.is_relative_to(REPOSITORY):
        return None
    path = folder.relative_to(REPOSITORY)
    left_out = any(part.startswith(".") or part == "workspace" for part in path.parts)
    return str(path) if path.parts and path.parts[0] in IMAGE_FOLDERS and not left_out else None
