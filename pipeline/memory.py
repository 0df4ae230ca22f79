"""Watches how much memory a run holds, and ends it at a bound instead of filling the machine."""

import contextlib
import os
import signal
import threading

import psutil

_LOOK_EVERY = 0.5
"""Seconds; a look at all processes takes milliseconds."""


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
        while not self._over.wait(_LOOK_EVERY):
            self.peak_mb = max(self.peak_mb, _resident_mb(this))
            if self.is_exceeded:
                os.kill(os.getpid(), signal.SIGINT)
                return


def _resident_mb(process: psutil.Process) -> int:
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            total += one.memory_info().rss
    return total >> 20
