"""Trains a problem on a cluster of this machine's processes, to the end."""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

from absl import logging
from etils import epath

from models.cluster import evaluator, process
from models.cluster.supervisor import Supervisor
from models.progress import Progress

_TOLD = ("train_files", "eval_files", "schema_path", "transform_output", "custom_config")


def train(
    cluster: Mapping[str, Any], directory: epath.Path, fn_args, progress: Progress
) -> list[dict[str, Any]]:
    """Trains; when this returns, or raises, no process of the cluster is left.

    Args:
        cluster: `train.cluster` of the configuration.
        directory: the training's.
        fn_args: what the problem is, see `Problem.of`.
        progress: is told how it goes.

    Returns:
        The tasks that were started again: each with its name, the step, and the reason.

    Raises:
        TaskError: see `Supervisor.run`.
    """
    told = {name: getattr(fn_args, name) for name in _TOLD}
    told["hyperparameters"] = getattr(fn_args, "hyperparameters", None)
    logs = _logs(directory)
    logging.info("Logs of the cluster's tasks: %s", logs)
    with Supervisor(cluster, str(directory), told, logs, progress) as supervisor:
        supervisor.run()
    evaluator.clean_up(directory)
    return supervisor.restarts


def end_orphans(directory: epath.Path) -> None:
    """Ends what is left of a cluster of an earlier run, which would train in the directory too."""
    if orphans := process.end_orphans(str(directory)):
        logging.warning("Ended processes of an earlier run: %s", orphans)


def _logs(directory: epath.Path) -> pathlib.Path:
    # Processes write to files; in an object store there are none.
    if "://" in str(directory):
        return pathlib.Path(tempfile.mkdtemp(prefix=f"{directory.name}-logs-"))
    return pathlib.Path(directory) / "logs"
