"""What a process is told, and says, by lines of JSON on stdin and stdout.

When its stdin ends the process ends at once, whatever it does: whoever asked for its work is gone.
Everything else that anything prints goes to stderr.
"""

import json
import os
import queue
import sys
import threading
import time
from typing import Any


class Channel:
    """The process's end of the lines that come and go.

    Args:
        reads: whether it is told anything, and ends with its stdin.
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
        """The next line, which is waited for."""
        return json.loads(self._lines.get())

    def restart(self) -> None:
        """Starts the clock of `seconds`."""
        self._started = time.monotonic()

    def send(self, **message: Any) -> None:
        """Says something, from any thread."""
        message["seconds"] = round(time.monotonic() - self._started, 2)
        with self._lock:
            self._answers.write(json.dumps(message) + "\n")
            self._answers.flush()


def one_line(error: Exception) -> str:
    """What an error says first, behind its type; a `ValueError` speaks for itself."""
    text = next(iter(str(error).strip().splitlines()), "")
    return text if isinstance(error, ValueError) else f"{type(error).__name__}: {text}"
