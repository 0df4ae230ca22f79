"""Guard against `os._exit(0)` in a user's code, which would look like success."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import NoReturn

_FAILED = 1


@contextlib.contextmanager
def guarded(say: Callable[[str], None]) -> Iterator[None]:
    """Context manager: `os._exit(0)` inside it ends this process with exit code 1.

    Other exit codes and forked child processes are unaffected.

    Args:
        say: receives one line that names the caller.
    """
    really, process = os._exit, os.getpid()

    def end(code: int) -> NoReturn:
        if code == 0 and os.getpid() == process:
            caller = sys._getframe(1)
            say(
                f"{caller.f_code.co_filename}:{caller.f_lineno}: os._exit(0) ended the run before "
                "its verdict; raise an exception that says what is wrong"
            )
            code = _FAILED
        really(code)

    setattr(os, "_exit", end)  # noqa: B010
    try:
        yield
    finally:
        setattr(os, "_exit", really)  # noqa: B010
