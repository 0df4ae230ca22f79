"""A process that trains as the Trainer does: `python -m tests.faults.trainer ARGUMENTS`.

ARGUMENTS is a JSON file with the attributes of `FnArgs`. Progress is written to stdout.
"""

import json
import pathlib
import signal
import sys
import types

from models.progress.observer import Observer, observing
from models.training import trainer


class _Printing(Observer):
    """Observer that prints the progress."""

    def training_advanced(self, progress: str) -> None:
        print(progress, flush=True)


def main() -> None:
    # SIGINT is ignored in background jobs of a shell, which the tests may be.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = types.SimpleNamespace(**json.loads(pathlib.Path(sys.argv[1]).read_text()))
    with observing(_Printing()):
        trainer.run_fn(arguments)


if __name__ == "__main__":
    main()
