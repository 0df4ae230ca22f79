"""One-line errors for a full disk, which TensorFlow reports as an error of the current step."""

import contextlib
import errno
from collections.abc import Iterator

import tensorflow as tf
from etils import epath

from models.errors import StepError

_CODES = {errno.ENOSPC, errno.EDQUOT}
_TEXTS = ("No space left on device", "Disk quota exceeded")


class DiskFull(StepError):
    """The disk has no room for the training's files."""


@contextlib.contextmanager
def explained(directory: epath.Path) -> Iterator[None]:
    """Context manager: errors about a full disk name the directory and say how to continue.

    Raises:
        DiskFull: instead of the original error.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if not is_about(error):
            raise
        raise DiskFull(
            f"training directory {directory}: the disk is full; free some space there, then run "
            "the same command again: training continues from its last checkpoint"
        ) from error


def is_about(error: BaseException) -> bool:
    """Returns whether an error says that the disk is full."""
    # Check the text, since a GPU out of memory raises `ResourceExhaustedError` too.
    return getattr(error, "errno", None) in _CODES or any(text in str(error) for text in _TEXTS)
