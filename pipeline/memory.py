"""Watches how much memory a run holds, and ends it at a bound instead of filling the machine."""

import contextlib
import signal
import threading
import time
from collections.abc import Sequence

import psutil

_LOOK_EVERY = 0.5
"""Seconds."""
_SHARE = 0.05
"""Of the time, at most, that it looks: to see what processes share, the system walks all pages."""
_COUNT_EVERY = 5.0
"""Seconds between looks for new processes: each reads what the system knows of all there are."""
_SIGNAL = signal.SIGUSR1
"""Not Ctrl-C's, which a shell's background jobs ignore."""


class TooMuchMemory(KeyboardInterrupt):
    """The bound was exceeded. Like Ctrl-C it is no `Exception`, so no step takes it for its own."""


class Watch:
    """The memory of this process and of those that it has started, in MB, as `held_mb` counts.

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
        counted = began = time.monotonic()
        processes = of_run()
        self.peak_mb = held_mb(processes)
        looked = time.monotonic() - began
        while not self._over.wait(max(_LOOK_EVERY, looked / _SHARE)):
            began = time.monotonic()
            if began - counted > _COUNT_EVERY:
                processes, counted = of_run(), began
            self.peak_mb = max(self.peak_mb, held_mb(processes))
            looked = time.monotonic() - began
            if self.is_exceeded:
                # Again at each look: raised in a destructor, it goes no further.
                main = threading.main_thread().ident
                assert main
                signal.pthread_kill(main, _SIGNAL)


def _interrupt(number, frame) -> None:
    raise TooMuchMemory


def of_run() -> list[psutil.Process]:
    """This process, and those that it and they have started."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def held_mb(processes: Sequence[psutil.Process]) -> int:
    """What some processes hold together, in MB; those that have ended hold nothing.

    Of one it is the resident set. Several share most of their pages; on Linux each is shared out
    among them (proportional set size), elsewhere it counts for each.
    """
    held = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if len(processes) == 1:
                held += process.memory_info().rss
            else:
                found = process.memory_full_info()
                held += getattr(found, "pss", found.rss)
    return held >> 20
