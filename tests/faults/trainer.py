"""A process that trains as the Trainer does: `python -m tests.faults.trainer ARGUMENTS`.

ARGUMENTS is a JSON file with the attributes of `FnArgs`. Progress is written to stdout.
"""

import json
import pathlib
import signal
import sys
import types

from models import training_progress
from models.training import trainer


def main() -> None:
    # SIGINT is ignored in background jobs of a shell, which the tests may be.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = types.SimpleNamespace(**json.loads(pathlib.Path(sys.argv[1]).read_text()))
    training_progress.on_progress = lambda text: print(text, flush=True)
    trainer.run_fn(arguments)


if __name__ == "__main__":
    main()
