"""Observer of long work in this process, such as the console that displays a run.

TFX creates executors itself, so nothing but JSON can be passed to them. Whoever displays a run
therefore installs its observer around it, to which the Trainer and the Tuner then report:

    with observing(console):
        ...  # runs the pipeline
"""

import contextlib
from collections.abc import Iterator


class Observer:
    """Receiver of progress; this one ignores it. Methods are called by the thread that works."""

    def training_advanced(self, progress: str) -> None:
        """Receives a training's progress as text, once it is over the number of its restarts."""

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
