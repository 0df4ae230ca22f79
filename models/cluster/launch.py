"""Trains a problem on a cluster, to the end: by default one of this machine's processes."""

import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any, Protocol

from absl import logging
from etils import epath

from models.cluster import process
from models.cluster.supervisor import Supervisor
from models.progress import Progress

_TOLD = ("train_files", "eval_files", "schema_path", "transform_output", "custom_config")


class Launcher(Protocol):
    """Has a place for a cluster's tasks."""

    def clear(self, directory: epath.Path) -> bool:
        """Ends what an earlier run has left training in a directory.

        Returns:
            False if that is not ended, because `train` will go on with it: until then the
            directory is not this process's.
        """

    def train(
        self, cluster: Mapping[str, Any], directory: epath.Path, fn_args, progress: Progress
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


class OnThisMachine:
    """Trains by one process for each task."""

    def clear(self, directory: epath.Path) -> bool:
        """See `Launcher`; processes that a run left behind when it was killed are ended."""
        if orphans := process.end_orphans(str(directory)):
            logging.warning("Ended processes of an earlier run: %s", orphans)
        return True

    def train(
        self, cluster: Mapping[str, Any], directory: epath.Path, fn_args, progress: Progress
    ) -> list[dict[str, Any]]:
        """See `Launcher`."""
        logs = _logs(directory)
        logging.info("Logs of the cluster's tasks: %s", logs)
        with Supervisor(cluster, str(directory), told(fn_args), logs, progress) as supervisor:
            supervisor.run()
        return supervisor.restarts


launcher: Launcher = OnThisMachine()
"""Who has another place for the tasks, as pods, puts a launcher of theirs here."""


def told(fn_args) -> dict[str, Any]:
    """What every task is told of the problem, as JSON values: `models.cluster.task`'s PROBLEM."""
    given = {name: getattr(fn_args, name) for name in _TOLD}
    return {**given, "hyperparameters": getattr(fn_args, "hyperparameters", None)}


def _logs(directory: epath.Path) -> pathlib.Path:
    # Processes write to files; in an object store there are none.
    if "://" in str(directory):
        return pathlib.Path(tempfile.mkdtemp(prefix=f"{directory.name}-logs-"))
    return pathlib.Path(directory) / "logs"
