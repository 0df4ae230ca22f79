"""A process that trains as the Trainer does: `python -m tests.faults.trainer ARGUMENTS`.

ARGUMENTS is a file with the attributes of `FnArgs`. What it is told of its progress goes to stdout.
"""

import json
import pathlib
import signal
import sys
import types

from models import progress, training


def main() -> None:
    # A shell's background job, which the tests may be, ignores it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    arguments = types.SimpleNamespace(**json.loads(pathlib.Path(sys.argv[1]).read_text()))
    progress.on_progress = lambda text: print(text, flush=True)
    training.run_fn(arguments)


if __name__ == "__main__":
    main()
