"""Launchers, which run the tasks of a cluster: by default as processes of this machine."""

import contextlib
import pathlib
import tempfile
from collections.abc import Iterator
from typing import Any, Protocol

from absl import logging
from etils import epath

from models.distributed import task_process
from models.distributed.supervisor import Supervisor
from models.progress.training_progress import Progress
from models.settings import fn_args as fn_args_lib
from models.settings.training_settings import Tasks


class Launcher(Protocol):
    """Interface of what runs the tasks of a cluster."""

    def clear(self, directory: epath.Path) -> bool:
        """Ends tasks of an earlier run that still train in a directory.

        Returns:
            False if they keep running because `train` will reuse them; until then this process
            must not change the directory.
        """

    def train(
        self, tasks: Tasks, directory: epath.Path, fn_args, progress: Progress
    ) -> list[dict[str, Any]]:
        """Trains to the end; when this returns or raises, no task of the cluster is running.

        Args:
            tasks: the tasks of the cluster.
            directory: the training directory.
            fn_args: the Trainer's `FnArgs`, which describe the problem, see `Problem.of`.
            progress: receives the progress.

        Returns:
            The restarts of tasks, each with the `task`, the `step` and the `reason`.

        Raises:
            TaskError: a task reported an error, or too many tasks died.
        """


class OnThisMachine:
    """Launcher that runs each task as a process of this machine."""

    def clear(self, directory: epath.Path) -> bool:
        """Ends processes that a killed run left behind; see `Launcher`."""
        if orphans := task_process.end_orphans(str(directory)):
            logging.warning("Ended processes of an earlier run: %s", orphans)
        return True

    def train(
        self, tasks: Tasks, directory: epath.Path, fn_args, progress: Progress
    ) -> list[dict[str, Any]]:
        """Trains under a supervisor; see `Launcher`."""
        logs = _logs(directory)
        logging.info("Logs of the cluster's tasks: %s", logs)
        problem = fn_args_lib.to_json(fn_args)
        with Supervisor(tasks, str(directory), problem, logs, progress) as supervisor:
            supervisor.run()
        return supervisor.restarts


_installed: list[Launcher] = [OnThisMachine()]


@contextlib.contextmanager
def launching_with(launcher: Launcher) -> Iterator[None]:
    """Context manager: trainings inside it, on any thread, run their tasks by a launcher."""
    _installed.append(launcher)
    try:
        yield
    finally:
        _installed.pop()


def current() -> Launcher:
    """Returns the launcher of the innermost `launching_with`, by default `OnThisMachine`."""
    return _installed[-1]


def _logs(directory: epath.Path) -> pathlib.Path:
    # Processes write their logs to local files, which an object store cannot hold.
    if "://" in str(directory):
        return pathlib.Path(tempfile.mkdtemp(prefix=f"{directory.name}-logs-"))
    return pathlib.Path(directory) / "logs"
