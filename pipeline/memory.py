"""Watches how much memory a run holds, and ends it at a bound instead of filling the machine."""

import contextlib
import math
import signal
import threading
import time

import psutil

_LOOK_EVERY = 0.5
"""Seconds."""
_COUNT_EVERY = 5.0
"""Seconds between looks for new processes: each reads what the system knows of all there are."""
_SIGNAL = signal.SIGUSR1
"""Not Ctrl-C's, which a shell's background jobs ignore."""


class TooMuchMemory(KeyboardInterrupt):
    """The bound was exceeded. Like Ctrl-C it is no `Exception`, so no step takes it for its own."""


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
        """Begins to look, in the main thread. At the bound what waits there is interrupted.

        Raises (there):
            TooMuchMemory: the bound was exceeded.
        """
        self._before = signal.signal(_SIGNAL, _interrupt)
        self._thread.start()
        return self

    def __exit__(self, *unused) -> None:
        self._over.set()
        self._thread.join()
        signal.signal(_SIGNAL, self._before)

    def _look(self) -> None:
        this = psutil.Process()
        counted = -math.inf
        while not self._over.wait(_LOOK_EVERY):
            if time.monotonic() - counted > _COUNT_EVERY:
                processes = [this, *this.children(recursive=True)]
                counted = time.monotonic()
            self.peak_mb = max(self.peak_mb, sum(map(resident_mb, processes)))
            if self.is_exceeded:
                # Again at each look: raised in a destructor, it goes no further.
                main = threading.main_thread().ident
                assert main
                signal.pthread_kill(main, _SIGNAL)


def _interrupt(number, frame) -> None:
    raise TooMuchMemory


def resident_mb(process: psutil.Process | None = None) -> int:
    """What a process holds, by default this one; 0 if it has ended."""
    with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return (process or psutil.Process()).memory_info().rss >> 20
    return 0
