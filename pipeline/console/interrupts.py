"""Handling of Ctrl-C, SIGTERM and a closed terminal: one line and exit code 130."""

import os
import signal
from collections.abc import Callable

from models.errors import INTERRUPTED, INTERRUPTED_TEXT

happened = False
"""Whether an interrupt arrived. Some libraries turn a `KeyboardInterrupt` into another error."""


def end_process() -> None:
    """Makes interrupts end the process at once, during the first imports."""
    _handle_by(_end)


def raise_in_main() -> None:
    """Makes the first interrupt raise `KeyboardInterrupt` in the main thread; the second kills."""
    _handle_by(_raise)


def _handle_by(handler: Callable[[int, object], None]) -> None:
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Signals ignored by `nohup` or by a shell for its background jobs stay ignored.
        if signal.getsignal(signum) != signal.SIG_IGN:
            signal.signal(signum, handler)


def _end(signum: int, frame: object) -> None:
    os.write(2, f"\n{INTERRUPTED_TEXT}\n".encode())
    os._exit(INTERRUPTED)


def _raise(signum: int, frame: object) -> None:
    global happened
    happened = True
    signal.signal(signum, signal.SIG_DFL)
    raise KeyboardInterrupt
