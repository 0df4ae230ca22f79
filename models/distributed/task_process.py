"""Processes that run tasks, as their supervisor sees them, and orphans without a supervisor."""

import contextlib
import os
import pathlib
import signal
from collections.abc import Mapping
from typing import Any

from models.processes import no_proxy
from models.processes.json_lines import ChildProcess

_MODULE = "models.programs.cluster_task"


class TaskProcess(ChildProcess):
    """A process that runs one task; see `models.programs.cluster_task` for its messages.

    It has a process group of its own, which it shares with processes that a model starts.

    Args:
        directory: the training directory.
        problem: the problem as JSON values, sent to the process.
        variables: see `variables`.
        log: file to which everything else that it prints is appended.
    """

    def __init__(
        self, directory: str, problem: Any, variables: Mapping[str, str], log: pathlib.Path
    ):
        with log.open("ab") as file:
            super().__init__([_MODULE, directory], variables, stderr=file, new_session=True)
        self.send(problem)

    def send_signal(self, number: int) -> None:
        """Sends a signal to the process and those that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def pause(self) -> None:
        """Pauses the process until `resume`."""
        self.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Resumes the paused process."""
        self.send_signal(signal.SIGCONT)


def variables(tf_config: str, *, on_gpu: bool) -> dict[str, str]:
    """Returns the environment variables to set for a task's process.

    Args:
        tf_config: the task's `TF_CONFIG`, which says which task it runs.
        on_gpu: whether the task may use GPUs, if there are any.
    """
    return {
        **no_proxy.variables(os.environ),
        "TF_CONFIG": tf_config,
        "TF_GRPC_REUSE_PORT": "true",
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        **({} if on_gpu else {"CUDA_VISIBLE_DEVICES": ""}),
    }


def end_orphans(directory: str) -> list[int]:
    """Kills processes that still run tasks of a training without a supervisor.

    Returns:
        Their process ids.
    """
    orphans = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # has ended, or belongs to another user
            arguments = (folder / "cmdline").read_text().split("\0")
            if arguments[1:4] == ["-m", _MODULE, directory]:
                os.kill(int(folder.name), signal.SIGKILL)
                orphans.append(int(folder.name))
    return orphans
