"""Observer of long work in this process, such as the console that displays a run.

TFX creates executors itself, so nothing but JSON can be passed to them. So the code that displays a
run installs an observer for its duration, and the Trainer and the Tuner report to it:

    with observing(console):
        ...  # runs the pipeline
"""

import contextlib
from collections.abc import Iterator


class Observer:
    """Receiver of progress; this one ignores it. Methods are called by the thread that works."""

    def training_advanced(self, progress: str) -> None:
        """Receives a training's progress as text and, at its end, the number of restarts."""

    def search_advanced(self, progress: str) -> None:
        """Receives the progress of a search as text."""


# A module global, because nodes may run on other threads than the one that installs the observer.
_installed = [Observer()]


@contextlib.contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Context manager: work inside it, on any thread of this process, reports to an observer."""
    _installed.append(observer)
    try:
        yield
    finally:
        _installed.pop()


def current() -> Observer:
    """Returns the observer of the innermost `observing`; outside of any, one that is silent."""
    return _installed[-1]
