"""Keeps the terminal for us and gives everything else to the log file.

TensorFlow, Beam and TFX write thousands of lines to stdout and stderr, some of them from C++. So
the process's descriptors 1 and 2 are pointed at the log, and what the user sees goes to a copy of
the terminal's descriptor. This must happen before TensorFlow is imported.
"""

import contextlib
import logging
import os
import pathlib
import sys
import warnings
from collections.abc import Iterator

from rich.console import Console


@contextlib.contextmanager
def logging_to(path: pathlib.Path) -> Iterator[Console]:
    """Sends stdout, stderr and logging to a file; gives a console on the real stdout.

    Args:
        path: the log; appended to, its directory exists.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    terminal, errors = os.dup(1), os.dup(2)
    with open(path, "ab", buffering=0) as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    try:
        with os.fdopen(os.dup(terminal), "w", encoding="utf-8") as stream:
            yield Console(file=stream)
    except BaseException:
        # Who handles it has something to say. Without an error the streams stay as they are: what
        # the libraries say when the interpreter ends belongs in the log too.
        sys.stdout.flush()
        sys.stderr.flush()
        os.dup2(terminal, 1)
        os.dup2(errors, 2)
        raise
    finally:
        os.close(terminal)
        os.close(errors)


def quiet_logging() -> None:
    """After the imports, which install handlers of their own: one format, informative level."""
    from absl import logging as absl_logging

    absl_logging.use_absl_handler()
    absl_logging.set_verbosity(absl_logging.INFO)
    # Beam tells of every bundle it runs.
    logging.getLogger("apache_beam").setLevel(logging.WARNING)
