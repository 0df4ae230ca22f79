"""Watches how much memory a run holds, and ends it at a bound instead of filling the machine."""

import contextlib
import math
import os
import signal
import threading
import time

import psutil

_LOOK_EVERY = 0.5
"""Seconds."""
_COUNT_EVERY = 5.0
"""Seconds between looks for new processes: each reads what the system knows of all there are."""


class Watch:
    """The memory of this process and of those that it has started, in MB of resident set.

    Pages that processes share count for each of them.

    Attributes:
        bound_mb: the bound; None if there is none.
        peak_mb: the most that was seen.
    """

    def __init__(self, bound_mb: int | None):
        self.bound_mb = bound_mb
        self.peak_mb = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def is_exceeded(self) -> bool:
        """Whether more was held than the bound allows."""
        return self.bound_mb is not None and self.peak_mb > self.bound_mb

    def __str__(self) -> str:
        bound = f" of {self.bound_mb:,}" if self.bound_mb else ""
        return f"at most {self.peak_mb:,}{bound} MB of memory"

    def __enter__(self) -> "Watch":
        """Begins to look. At the bound what waits in the main thread is interrupted, as by Ctrl-C.

        Raises (there):
            KeyboardInterrupt: the bound was exceeded, if `is_exceeded`; else it is the user's.
        """
        self._thread.start()
        return self

    def __exit__(self, *unused) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        this = psutil.Process()
        counted = -math.inf
        while not self._over.wait(_LOOK_EVERY):
            if time.monotonic() - counted > _COUNT_EVERY:
                processes = [this, *this.children(recursive=True)]
                counted = time.monotonic()
            self.peak_mb = max(self.peak_mb, sum(map(_resident_mb, processes)))
            if self.is_exceeded:
                # Again at each look: what is called by other code, as a destructor, may swallow it.
                os.kill(os.getpid(), signal.SIGINT)


def _resident_mb(process: psutil.Process) -> int:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return process.memory_info().rss >> 20
    return 0
