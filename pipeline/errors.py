"""Errors that a user can cause, and the exit codes of the command line."""

from models.name_hints import nearest as nearest

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


class UserError(Exception):
    """An error that the user can fix.

    The message is shown as it is, without a trace. Each mistake has one line that names the file,
    column or option, what was found, what was expected and how to fix it.
    """


class Ended(Exception):
    """Request to end the process without waiting for its threads.

    Raised once everything has been printed. It unwinds the context managers; `command_line.main`
    then exits with `exit_code`.
    """

    def __init__(self, exit_code: int):
        super().__init__(exit_code)
        self.exit_code = exit_code
