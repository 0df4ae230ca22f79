"""Watches the memory of a run, and ends the run at a bound before the machine runs out."""

import contextlib
import signal
import threading
import time
from collections.abc import Sequence

import psutil

_LOOK_EVERY = 0.5
"""Seconds between measurements."""
_SHARE = 0.05
"""Largest share of time spent measuring: to find shared memory, the kernel walks all pages."""
_COUNT_EVERY = 5.0
"""Seconds between searches for new processes, each of which reads the whole process table."""
_SIGNAL = signal.SIGUSR1
"""Signal that interrupts the main thread; background jobs of a shell ignore SIGINT."""


class TooMuchMemory(KeyboardInterrupt):
    """Raised at the bound. Not an `Exception`, so that no step catches it as its own error."""


class Watch:
    """Context manager that measures this process and its descendants in MB, as `held_mb` does.

    Attributes:
        bound_mb: the bound; None for no bound.
        peak_mb: the largest measurement so far.
    """

    def __init__(self, bound_mb: int | None):
        self.bound_mb = bound_mb
        self.peak_mb = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    @property
    def is_exceeded(self) -> bool:
        """Whether the peak is above the bound."""
        return self.bound_mb is not None and self.peak_mb > self.bound_mb

    def __str__(self) -> str:
        bound = f" of {self.bound_mb:,}" if self.bound_mb else ""
        return f"at most {self.peak_mb:,}{bound} MB of memory"

    def __enter__(self) -> "Watch":
        """Starts measuring; to be called in the main thread.

        If the bound is exceeded, `TooMuchMemory` is raised in the main thread, wherever it is.
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
                # Repeated at each measurement, since an error raised in a destructor is lost.
                main = threading.main_thread().ident
                assert main
                signal.pthread_kill(main, _SIGNAL)


def _interrupt(signum, frame) -> None:
    raise TooMuchMemory


def of_run() -> list[psutil.Process]:
    """Returns this process and all of its descendants."""
    this = psutil.Process()
    return [this, *this.children(recursive=True)]


def held_mb(processes: Sequence[psutil.Process]) -> int:
    """Returns the memory that processes hold together, in MB; ended processes count as zero.

    A single process counts with its resident set. Several share most of their pages: on Linux each
    counts with its proportional set size, elsewhere shared pages count once per process.
    """
    held = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if len(processes) == 1:
                held += process.memory_info().rss
            else:
                memory = process.memory_full_info()
                held += getattr(memory, "pss", memory.rss)
    return held >> 20
