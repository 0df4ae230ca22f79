"""Loads configurations that have a `kubeflow` section."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.config import config_file
from pipeline.config.configuration import Config
from pipeline.config.kubeflow_config import Kubeflow
from pipeline.config.problem_settings import train_settings
from pipeline.kubeflow.tfjob import tfjob_manifest


def load(path: pathlib.Path, settings: Sequence[str] = ()) -> tuple[Config, Kubeflow]:
    """Returns a configuration and its `kubeflow` section."""
    config = config_file.load(path, settings)
    assert config.kubeflow
    return config, config.kubeflow


def tfjob(path: pathlib.Path, settings: Sequence[str], step: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the compiled TFJob of a configuration with `kubeflow.tfjob`; see its `of`."""
    config, kubeflow = load(path, settings)
    tasks = train_settings(config.train).tasks
    assert kubeflow.tfjob and tasks
    return tfjob_manifest.of(config.name, tasks, kubeflow, kubeflow.tfjob, step, {})
