"""Errors that a user can cause, and the exit codes of the command line."""

import difflib
from collections.abc import Iterable, Iterator
from typing import ClassVar

OK = 0
"""Blessed and pushed, or unchanged since the last push."""
FAILED = 1
"""A step failed; the log has the trace."""
BAD_INPUT = 2
"""The configuration, an option or the data is wrong; nothing was trained."""
NOT_BLESSED = 3
"""The pipeline ran, but the model was not pushed: it failed its gate or was kept back."""
INTERRUPTED = 130
"""Ctrl-C, SIGTERM or SIGHUP; the same command continues."""


INTERRUPTED_TEXT = "Interrupted; the same command continues from where it stopped."


class UserError(ValueError):
    """An error that the user can fix; each kind of it derives from this class.

    The message is shown as it is, without a trace. Each mistake has one line that names the file,
    column or option, what was found, what was expected and how to fix it.

    Attributes:
        exit_code: the exit code of a command that the error ends.
    """

    exit_code: ClassVar[int] = BAD_INPUT


class StepError(UserError):
    """An error that surfaces only when a step runs, after all checks at the start."""

    exit_code = FAILED


class Ended(Exception):
    """Request to end the process without waiting for its threads.

    Raised once everything has been printed. It unwinds the context managers; `command_line.main`
    then exits with `exit_code`.
    """

    def __init__(self, exit_code: int):
        super().__init__(exit_code)
        self.exit_code = exit_code


def nearest(name: str, names: Iterable[str]) -> str:
    """Returns `; did you mean X? (known: ...)`, to end a message about an unknown name."""
    names = [str(known) for known in names]
    return f"{did_you_mean(name, names)} (known: {', '.join(names)})"


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """Returns `; did you mean X?` for the name that resembles an unknown one, or ""."""
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def named(line: str) -> UserError | None:
    """Returns the user error that the last line of a traceback names, if it names one.

    Beam's workers report an error as the text of its traceback.
    """
    name, _, message = line.partition(": ")
    for kind in _kinds(UserError):
        if name == f"{kind.__module__}.{kind.__qualname__}":
            return kind(message)
    return None


def _kinds(base: type[UserError]) -> Iterator[type[UserError]]:
    yield base
    for kind in base.__subclasses__():
        yield from _kinds(kind)
