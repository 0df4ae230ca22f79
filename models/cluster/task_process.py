"""Processes that run tasks, as their supervisor sees them, and orphans without a supervisor."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from models import no_proxy

_MODULE = "models.programs.cluster_task"


class Process:
    """A process that runs one task; see `models.programs.cluster_task` for its messages.

    Args:
        directory: the training directory.
        told: the problem as JSON values, sent to the process.
        environment: environment variables of the process; `TF_CONFIG` says which task it runs.
        log: file to which everything else that it prints is appended.
    """

    def __init__(
        self, directory: str, told: Any, environment: Mapping[str, str], log: pathlib.Path
    ):
        with open(log, "ab") as file:
            # Its own process group, so that processes started by a model end with it.
            self._process = subprocess.Popen(
                [sys.executable, "-m", _MODULE, directory],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                env=environment,
                start_new_session=True,
            )
        os.set_blocking(self.fileno(), False)
        self._unread = b""
        self.has_ended = False
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):  # already ended, as will be noticed
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """The id of the process and of its group."""
        return self._process.pid

    def fileno(self) -> int:
        """Returns the file descriptor from which its messages are read."""
        assert self._process.stdout
        return self._process.stdout.fileno()

    def messages(self) -> list[dict[str, Any]]:
        """Returns the messages since the last call; sets `has_ended` at the end of the stream."""
        try:
            while data := os.read(self.fileno(), 1 << 16):
                self._unread += data
            self.has_ended = True
        except BlockingIOError:
            pass
        *lines, self._unread = self._unread.split(b"\n")
        return [json.loads(line) for line in lines]

    def pause(self) -> None:
        """Pauses the process until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Resumes the paused process."""
        self._signal(signal.SIGCONT)

    def end(self) -> str:
        """Kills the process and those that it started; returns its signal or exit code as text."""
        self._signal(signal.SIGKILL)
        code = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            with contextlib.suppress(BrokenPipeError):
                stream.close()
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)


def environment(tf_config: str, *, on_gpu: bool) -> dict[str, str]:
    """Returns the environment variables of a task's process.

    Args:
        tf_config: the task's `TF_CONFIG`.
        on_gpu: whether the task may use GPUs, if there are any.
    """
    path = os.pathsep.join(place or os.getcwd() for place in sys.path)
    return {
        **os.environ,
        **no_proxy.variables(os.environ),
        "PYTHONPATH": path,
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
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # has ended, or belongs to another user
            arguments = (folder / "cmdline").read_text().split("\0")
            if arguments[1:4] == ["-m", _MODULE, directory]:
                os.kill(int(folder.name), signal.SIGKILL)
                found.append(int(folder.name))
    return found
