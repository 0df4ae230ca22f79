"""One-line errors for a user's model: the line in their file, the reason, and how to fix it."""

import contextlib
import os
import pathlib
import re
import traceback
from collections.abc import Iterator, Sequence

import tensorflow as tf

from models.diagnostics import error_hints, full_disk, source_lines
from models.errors import StepError

_LENGTH = 200
"""Maximum length of a reason in characters: a node's definition alone may have thousands."""
_NODES = re.compile(r"\s*\[\[\{\{node .*?\}\}\]\]|\s*\[Op:\w+\]")
_NO_REASON = re.compile(
    r"^(Graph execution error:|Detected at node|Node: '|File \"|Exception encountered when calling"
    r"|in user code:|\d+ root error\(s\) found|Original stack trace|Traceback |Errors may have"
    r"|Call arguments received|\^|\s)"
)
_ROOT_ERROR = re.compile(r"^\s*\(\d+\) [A-Z_ ]+:\s*")
_MISSING_KEY = re.compile(r"Key \S+ not found in checkpoint")
_TRANSIENT = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)

_OF_ESTIMATOR = ("estimator.py", "model_fn.py", "basic_session_run_hooks.py")
"""TensorFlow's files whose errors are about what a model_fn returned."""


class ModelError(StepError):
    """A mistake in a user's model; its text is one line."""


@contextlib.contextmanager
def located(folders: Sequence[pathlib.Path]) -> Iterator[None]:
    """Context manager: errors from a user's files are raised as one line with its position.

    Args:
        folders: folders of the user's files; if empty, errors pass unchanged.

    Raises:
        ModelError: instead of an error that is related to those files, or of `sys.exit`.
    """
    try:
        yield
    except ModelError:
        raise
    except SystemExit as error:
        if not folders:
            raise
        where = source_lines.line_behind(error, folders)
        raise ModelError(
            f"{where + ': ' if where else ''}sys.exit({error.code!r}) would end the run before its "
            "verdict; raise an exception that says what is wrong"
        ) from error
    except Exception as error:
        line = explain(error, folders) if folders else None
        if line is None:
            raise
        raise ModelError(line) from error


def explain(error: BaseException, folders: Sequence[pathlib.Path]) -> str | None:
    """Explains an error in one line.

    Args:
        error: the error as raised, with its traceback.
        folders: folders of the user's files.

    Returns:
        The line if known, the error's type and reason, and a hint if there is one. None if the
        error is transient, is about a full disk, or comes from elsewhere: neither from the user's
        files nor from TensorFlow.
    """
    if is_transient(error) or full_disk.is_about(error):
        return None
    where = source_lines.line_behind(error, folders)
    if not where and not isinstance(error, tf.errors.OpError) and not _is_of_estimator(error):
        return None
    text = f"{type(error).__name__}: {reason(error)}"
    hint = error_hints.hint(text)
    return f"{where + ': ' if where else ''}{text}{'; ' + hint if hint else ''}"


def is_transient(error: BaseException) -> bool:
    """Returns whether the end of another task may be the cause, not the model or the data."""
    return isinstance(error, _TRANSIENT)


def reason(error: BaseException) -> str:
    """Returns an error's own message in one line, without node definitions and stack traces."""
    if isinstance(error, SyntaxError):
        text = error.msg
    else:
        text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    if missing := _MISSING_KEY.search(text):
        return missing[0]
    lines = text.strip().splitlines()
    cleaned = [_NODES.sub("", _ROOT_ERROR.sub("", line)) for line in lines]
    # TensorFlow's text says where the operation was created before it says what is wrong.
    at = max(
        (index for index, line in enumerate(cleaned) if line.startswith("Node: '")), default=-1
    )
    useful = [line.strip() for line in cleaned[at + 1 :] if line and not _NO_REASON.match(line)]
    indented = [
        line.strip() for line in cleaned if re.match(r"\s+\w*(Error|Exception)\b.*: ", line)
    ]
    message = next(iter([*indented, *useful]), "") or next(iter(lines), "")
    message = message.partition(", check your graph for ops")[0].rstrip(".")
    return message if len(message) <= _LENGTH else f"{message[:_LENGTH]}…"


def _is_of_estimator(error: BaseException) -> bool:
    """Returns whether the Estimator rejected what a model_fn returned."""
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and os.path.basename(frames[-1].filename) in _OF_ESTIMATOR
