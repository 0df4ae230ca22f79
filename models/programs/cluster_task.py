"""Program of one task: `python -m models.programs.cluster_task DIRECTORY [PROBLEM]`.

`TF_CONFIG`, set by a launcher or an operator (Kubeflow's TFJob), says which task. DIRECTORY is the
training directory, which all tasks share. PROBLEM is a JSON file with the attributes of `FnArgs`
that `Problem.of` reads. Without it, they are the first line of stdin, and the task ends when stdin
does.

It sends lines of JSON on stdout, see `models.processes.json_lines`:

- {"event": "ready"}, and from then on {"event": "alive"} every second;
- a chief or worker: {"event": "step", "step": ..., "examples_per_second": ...} once a second, or
  {"event": "waiting"} while it waits for the other tasks;
- the chief: {"event": "checkpoint", "step": ...}, and {"event": "note", "text": ...} about the
  model;
- the task that evaluates: {"event": "evaluating"} and {"event": "evaluation", "step": ...,
  "metrics": ...};
- {"event": "done"}, or {"event": "failed", "error": "one line", "traceback": ...,
  "is_transient": whether it is worth trying again}.
"""

import ctypes
import json
import logging
import signal
import sys
import threading
import traceback
import types
from collections.abc import Mapping
from typing import Any

from models.distributed import layout
from models.processes import no_proxy
from models.processes.json_lines import Channel, one_line

_LOG_FORMAT = "%(levelname).1s%(asctime)s %(name)s] %(message)s"
_ALIVE_EVERY = 1.0
"""Seconds between `alive` events."""
_PR_SET_PDEATHSIG = 1
FAILED = 1
"""Exit code if a restart would fail again."""
AGAIN = 138
"""Exit code if a restart may succeed: TFJob's restart policy `ExitCode` retries from 128 on."""


def main() -> int:
    """Runs the task and returns the exit code."""
    directory, *problem = sys.argv[1:]
    # Ctrl-C reaches every process of a terminal; this one exits when its parent does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if problem:
        channel = Channel(reads=False)
        from etils import epath

        values = json.loads(epath.Path(problem[0]).read_text())
    else:
        # A stopped process does not notice the end of its stdin.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        channel = Channel()
        values = channel.receive()

    if cluster := layout.in_environment():
        no_proxy.exempt(cluster.hosts)
    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT)
    import tensorflow as tf

    # Slow, so before it is ready.
    from models.diagnostics import model_errors
    from models.training import trainer  # noqa: F401

    tf.get_logger().setLevel(logging.INFO)
    channel.send(event="ready")
    threading.Thread(target=_send_alive, args=[channel], daemon=True).start()
    try:
        _run(channel, values, directory)
    except Exception as error:
        is_transient = model_errors.is_transient(error)
        channel.send(
            event="failed",
            error=one_line(error),
            traceback=traceback.format_exc(),
            is_transient=is_transient,
        )
        traceback.print_exc()
        return AGAIN if is_transient else FAILED
    channel.send(event="done")
    return 0


def _run(channel: Channel, values: Mapping[str, Any], directory: str) -> None:
    from etils import epath

    from models.diagnostics import full_disk
    from models.training import trainer
    from models.training.problem import Problem

    def on_evaluation(step: int, metrics: Mapping[str, float]) -> None:
        channel.send(event="evaluation", step=step, metrics=dict(metrics))

    problem, folder = Problem.of(types.SimpleNamespace(**values)), epath.Path(directory)
    with full_disk.explained(folder):
        trainer.do_task(problem, folder, on_evaluation, channel.send)


def _send_alive(channel: Channel) -> None:
    waiting = threading.Event()
    while not waiting.wait(_ALIVE_EVERY):
        channel.send(event="alive")


if __name__ == "__main__":
    sys.exit(main())
