"""A disk without room, told in one line: TensorFlow tells it as an error of the step it was at."""

import contextlib
import errno
from collections.abc import Iterator

import tensorflow as tf
from etils import epath

_NUMBERS = {errno.ENOSPC, errno.EDQUOT}
_TEXTS = ("No space left on device", "Disk quota exceeded")


class DiskFull(ValueError):
    """There is no room for what training writes."""


@contextlib.contextmanager
def told(directory: epath.Path) -> Iterator[None]:
    """Names the directory, and how to go on, if what is done in it finds its disk full.

    Raises:
        DiskFull: in place of the error that said so.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if not _is_full(error):
            raise
        raise DiskFull(
            f"training directory {directory}: the disk is full; free some space there, then run "
            "the same command again: training continues from its last checkpoint"
        ) from error


def _is_full(error: Exception) -> bool:
    # A GPU without memory is a `ResourceExhaustedError` too.
    return getattr(error, "errno", None) in _NUMBERS or any(text in str(error) for text in _TEXTS)
