"""Messages between a process and its parent, as lines of JSON on the process's stdin and stdout.

When its stdin ends, the process exits at once, since the parent is gone. Anything else that it
prints to stdout goes to stderr.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from models.errors import UserError


class ChildProcess:
    """The parent's end: a child process that runs a module with this process's import path.

    Args:
        command: the module and its arguments, as after `python -m`.
        variables: environment variables to set in addition to those of this process.
        stderr: file that receives what the process prints; by default this process's stderr.
        new_session: whether to give the process a session, and so a process group, of its own.

    Attributes:
        has_ended: whether `messages` has reached the end of the stream.
    """

    def __init__(
        self,
        command: Sequence[str],
        variables: Mapping[str, str],
        stderr: IO[bytes] | None = None,
        new_session: bool = False,
    ):
        path = os.pathsep.join(folder or os.getcwd() for folder in sys.path)
        self._process = subprocess.Popen(
            [sys.executable, "-m", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env={**os.environ, "PYTHONPATH": path, **variables},
            start_new_session=new_session,
        )
        os.set_blocking(self.fileno(), False)
        self._unread = b""
        self.has_ended = False

    @property
    def pid(self) -> int:
        """The id of the process."""
        return self._process.pid

    def fileno(self) -> int:
        """Returns the file descriptor from which its messages are read."""
        assert self._process.stdout
        return self._process.stdout.fileno()

    def send(self, message: Any) -> None:
        """Sends the process a message; does nothing if it has ended, as `messages` will notice."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def messages(self) -> list[dict[str, Any]]:
        """Returns the messages since the last call; sets `has_ended` at the end of the stream."""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self.fileno(), 1 << 16):
                self._unread += data
            self.has_ended = True
        *lines, self._unread = self._unread.split(b"\n")
        return [json.loads(line) for line in lines]

    def send_signal(self, number: int) -> None:
        """Sends the process a signal, if it has not ended."""
        self._process.send_signal(number)

    def end(self) -> str:
        """Kills the process; returns how it ended: its signal or exit code as text."""
        self.send_signal(signal.SIGKILL)
        code = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            with contextlib.suppress(BrokenPipeError):  # it ended before reading everything
                stream.close()
        return f"signal {-code}" if code < 0 else f"exit code {code}"


class Channel:
    """The process's end.

    Args:
        reads: whether to read messages from stdin, and exit when it ends.
    """

    def __init__(self, reads: bool = True):
        self._output = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._started = time.monotonic()
        if reads:
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in sys.stdin:
            self._lines.put(line)
        os._exit(0)

    def receive(self) -> Any:
        """Waits for the next message and returns it."""
        return json.loads(self._lines.get())

    def restart_clock(self) -> None:
        """Restarts the clock that `seconds` in each message refers to."""
        self._started = time.monotonic()

    def send(self, **message: Any) -> None:
        """Sends a message; may be called from any thread."""
        message["seconds"] = round(time.monotonic() - self._started, 2)
        with self._lock:
            self._output.write(json.dumps(message) + "\n")
            self._output.flush()


def one_line(error: Exception) -> str:
    """Returns the first line of an error, after its type unless it is a `UserError`."""
    text = next(iter(str(error).strip().splitlines()), "")
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"
