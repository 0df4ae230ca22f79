"""Keeps the terminal for the user's messages and redirects everything else to the log file.

TensorFlow, Beam and TFX write thousands of lines to stdout and stderr, some of them from C++. So
the process's descriptors 1 and 2 are redirected to the log, and messages to the user go to a copy
of the terminal's descriptor. This must happen before TensorFlow is imported.
"""

import contextlib
import io
import logging
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator

from rich.console import Console


class _Console(Console):
    """A console that never hides the cursor, which a killed process could not show again."""

    def show_cursor(self, show: bool = True) -> bool:  # noqa: D102 (rich's)
        return False


class _Terminal(io.TextIOWrapper):
    """A stream that discards output once its reader is gone, so that `run | head` continues."""

    def write(self, text: str) -> int:  # noqa: D102 (io's)
        with self._until_closed():
            super().write(text)
        return len(text)

    def flush(self) -> None:  # noqa: D102 (io's)
        with self._until_closed():
            super().flush()

    @contextlib.contextmanager
    def _until_closed(self) -> Iterator[None]:
        try:
            yield
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            super().flush()


def repair_streams() -> None:
    """Makes the standard streams usable, however the process was started.

    Otherwise, if a stream was closed (`>&-`), the next file to be opened would get its descriptor
    and receive what is printed.
    """
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free descriptor
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextlib.contextmanager
def logging_to(path: pathlib.Path) -> Iterator[Console]:
    """Context manager: redirects stdout and stderr to a file; yields a console on the real stdout.

    The streams are restored only if an error leaves the context.

    Args:
        path: the log file, in an existing directory; output is appended.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    terminal, errors = os.dup(1), os.dup(2)
    with open(path, "ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    try:
        raw = os.fdopen(os.dup(terminal), "wb")
        with _Terminal(raw, encoding="utf-8", errors="surrogateescape") as stream:
            yield _Console(file=stream)
    except BaseException:
        # The handler of the error will print a message. Without an error the streams stay
        # redirected: what libraries print at interpreter exit belongs in the log too.
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(terminal, 1)
        os.dup2(errors, 2)
        raise
    finally:
        os.close(terminal)
        os.close(errors)


def quiet_logging() -> None:
    """Sets one log format and level; to be called after imports that install their own handlers."""
    from absl import logging as absl_logging

    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(absl_logging.INFO)
    # Beam logs every bundle at INFO.
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
