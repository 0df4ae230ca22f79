"""Ctrl-C, SIGTERM and a closed terminal: one line and exit code 130, from the first import on."""

import os
import signal
from collections.abc import Callable

from pipeline.errors import INTERRUPTED, INTERRUPTED_TEXT

happened = False
"""Whether there was one. Some libraries turn a `KeyboardInterrupt` in them into other errors."""


def end_process() -> None:
    """Has interrupts end the process at once: for the time of the first imports."""
    _handle_by(_end)


def raise_in_main() -> None:
    """Has the first interrupt raise `KeyboardInterrupt` in the main thread; a second one kills."""
    _handle_by(_raise)


def _handle_by(handler: Callable[[int, object], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # `nohup` and shells that start background jobs have signals ignored; that is to stay.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, handler)


def _end(number: int, frame: object) -> None:
    os.write(2, f"\n{INTERRUPTED_TEXT}\n".encode())
    os._exit(INTERRUPTED)


def _raise(number: int, frame: object) -> None:
    global happened
    happened = True
    signal.signal(number, signal.SIG_DFL)
    raise KeyboardInterrupt
