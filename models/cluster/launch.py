"""Trains a problem on a cluster, to the end: by default one of this machine's processes."""

import pathlib
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from absl import logging
from etils import epath

from models.cluster import evaluator, process
from models.cluster.supervisor import Supervisor
from models.progress import Progress

Launcher = Callable[[Mapping[str, Any], epath.Path, Any, Progress], list[dict[str, Any]]]
"""Trains with the arguments, the answer and the errors of `train`."""

_TOLD = ("train_files", "eval_files", "schema_path", "transform_output", "custom_config")


def train(
    cluster: Mapping[str, Any], directory: epath.Path, fn_args, progress: Progress
) -> list[dict[str, Any]]:
    """Trains; when this returns, or raises, no task of the cluster is left.

    Args:
        cluster: `train.cluster` of the configuration.
        directory: the training's.
        fn_args: what the problem is, see `Problem.of`.
        progress: is told how it goes.

    Returns:
        The tasks that were started again: each with its name, the step, and the reason.

    Raises:
        TaskError: a task reported an error, or too many died.
    """
    restarts = launcher(cluster, directory, fn_args, progress)
    evaluator.clean_up(directory)
    return restarts


def on_this_machine(
    cluster: Mapping[str, Any], directory: epath.Path, fn_args, progress: Progress
) -> list[dict[str, Any]]:
    """Trains by one process for each task; see `train`."""
    logs = _logs(directory)
    logging.info("Logs of the cluster's tasks: %s", logs)
    with Supervisor(cluster, str(directory), told(fn_args), logs, progress) as supervisor:
        supervisor.run()
    return supervisor.restarts


launcher: Launcher = on_this_machine
"""Who has another place for the tasks, as pods, puts a launcher of theirs here."""


def told(fn_args) -> dict[str, Any]:
    """What every task is told of the problem, as JSON values: `models.cluster.task`'s PROBLEM."""
    given = {name: getattr(fn_args, name) for name in _TOLD}
    return {**given, "hyperparameters": getattr(fn_args, "hyperparameters", None)}


def end_orphans(directory: epath.Path) -> None:
    """Ends what is left of a cluster of an earlier run, which would train in the directory too."""
    if orphans := process.end_orphans(str(directory)):
        logging.warning("Ended processes of an earlier run: %s", orphans)


def _logs(directory: epath.Path) -> pathlib.Path:
    # Processes write to files; in an object store there are none.
    if "://" in str(directory):
        return pathlib.Path(tempfile.mkdtemp(prefix=f"{directory.name}-logs-"))
    return pathlib.Path(directory) / "logs"
