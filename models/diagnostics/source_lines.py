"""The line of a user's files behind an error or an operation.

TensorFlow builds a graph first and runs it later, so the traceback of an error that a line of a
`model_fn` causes may not contain that line. But TensorFlow remembers where each operation was
created, and says so in the middle of its message.
"""

import pathlib
import re
import traceback
from collections.abc import Sequence

import tensorflow as tf

_MADE_AT = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')
_PROJECT = pathlib.Path(__file__).absolute().parents[2]
_PACKAGES = ("components", "models", "pipeline")

_Frame = tuple[str, int | None, str]


def line_behind(error: BaseException, folders: Sequence[pathlib.Path]) -> str:
    """Returns the last line of the user's files behind an error: `my_model.py:12, in model_fn`.

    Returns an empty text if there is no such line.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, SyntaxError) and cause.filename and _is_below(cause.filename, folders):
            return f"{shown(cause.filename)}:{cause.lineno}"
        through = [
            (frame.filename, frame.lineno, frame.name)
            for frame in traceback.extract_tb(cause.__traceback__)
        ]
        # Where the operation was created says more than where the session was run.
        for frames in (_frames_in_text(cause), _frames_of(getattr(cause, "op", None)), through):
            if location := _last(frames, folders):
                return location
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return ""


def line_of_operation(op: tf.Operation, folders: Sequence[pathlib.Path]) -> str:
    """Returns the line of the user's files that created an operation, or an empty text."""
    return _last(_frames_of(op), folders)


def _frames_in_text(error: BaseException) -> list[_Frame]:
    """Returns the frames in the text of a TensorFlow error."""
    if not isinstance(error, tf.errors.OpError):
        return []
    return [(file, int(line), name) for file, line, name in _MADE_AT.findall(str(error))]


def _frames_of(op: tf.Operation | None) -> list[_Frame]:
    return [(frame.filename, frame.lineno, frame.name) for frame in getattr(op, "traceback", ())]


def _last(frames: Sequence[_Frame], folders: Sequence[pathlib.Path]) -> str:
    user_frames = [frame for frame in frames if _is_below(frame[0], folders)]
    if not user_frames:
        return ""
    file, line, function = user_frames[-1]
    return f"{shown(file)}:{line}" + ("" if function == "<module>" else f", in {function}")


def _is_below(file: str, folders: Sequence[pathlib.Path]) -> bool:
    path = pathlib.Path(file)
    if "site-packages" in path.parts or _is_ours(path) and not any(map(_is_ours, folders)):
        return False
    return any(path.is_relative_to(folder) for folder in folders)


def _is_ours(path: pathlib.Path) -> bool:
    """Returns whether a path is in this project's packages; user files may lie beside them."""
    return any(path.is_relative_to(_PROJECT / name) for name in _PACKAGES)


def shown(file: str) -> str:
    """Returns the path of a file as the user would type it."""
    cwd = pathlib.Path.cwd()
    path = pathlib.Path(file)
    return str(path.relative_to(cwd) if path.is_relative_to(cwd) else path)
