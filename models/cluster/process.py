"""The process that does a task, as its supervisor sees it; and those that nobody watches."""

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

_MODULE = "models.cluster.task"


class Process:
    """One process that does one task; see `models.cluster.task` for what is said.

    Args:
        directory: the training's.
        told: what it is told of the problem.
        environment: its own; `TF_CONFIG` among it says which task it does.
        log: the file that gets everything else it prints.
    """

    def __init__(
        self, directory: str, told: Any, environment: Mapping[str, str], log: pathlib.Path
    ):
        with open(log, "ab") as file:
            # A group of its own: what a model starts in it ends with it.
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
        with contextlib.suppress(BrokenPipeError):  # it has ended by now, which will be seen
            self._process.stdin.write(json.dumps(told).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """Its number, and that of its group."""
        return self._process.pid

    def fileno(self) -> int:
        """Where what it says can be read."""
        assert self._process.stdout
        return self._process.stdout.fileno()

    def messages(self) -> list[dict[str, Any]]:
        """What it has said since it was last asked; sets `has_ended` at the end of that."""
        try:
            while data := os.read(self.fileno(), 1 << 16):
                self._unread += data
            self.has_ended = True
        except BlockingIOError:
            pass
        *lines, self._unread = self._unread.split(b"\n")
        return [json.loads(line) for line in lines]

    def pause(self) -> None:
        """Stops it until `go_on`."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Ends a pause."""
        self._signal(signal.SIGCONT)

    def end(self) -> str:
        """Ends it and what it has started, whatever they do; says how it ended."""
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
    """Of a task's process.

    Args:
        tf_config: the task's.
        on_gpu: whether it may use one, if there is any.
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
    """Ends processes that still do tasks of a training that nobody supervises any more.

    Returns:
        Their numbers.
    """
    found = []
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended, or is another user's
            arguments = (folder / "cmdline").read_text().split("\0")
            if arguments[1:4] == ["-m", _MODULE, directory]:
                os.kill(int(folder.name), signal.SIGKILL)
                found.append(int(folder.name))
    return found
