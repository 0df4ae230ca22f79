"""Messages of a process to and from its parent, as lines of JSON on stdin and stdout.

When its stdin ends, the process exits at once, since the parent is gone. Anything else that is
printed to stdout goes to stderr.
"""

import json
import os
import queue
import sys
import threading
import time
from typing import Any


class Channel:
    """The child process's end of the messages.

    Args:
        reads: whether to read messages from stdin, and exit when it ends.
    """

    def __init__(self, reads: bool = True):
        self._answers = os.fdopen(os.dup(1), "w")
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

    def restart(self) -> None:
        """Restarts the clock that `seconds` in each message refers to."""
        self._started = time.monotonic()

    def send(self, **message: Any) -> None:
        """Sends a message; may be called from any thread."""
        message["seconds"] = round(time.monotonic() - self._started, 2)
        with self._lock:
            self._answers.write(json.dumps(message) + "\n")
            self._answers.flush()


def one_line(error: Exception) -> str:
    """Returns the first line of an error, after its type unless it is a `ValueError`."""
    text = next(iter(str(error).strip().splitlines()), "")
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
