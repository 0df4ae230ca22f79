"""Process that runs the trials of a search: `python -m models.programs.trial`.

It receives lines of JSON on stdin, and sends lines of JSON on stdout:

- receives the problem: an object with the attributes of `FnArgs` that `Problem.of` reads;
- sends {"event": "ready"};
- receives a trial: {"directory": ..., "values": {"model.params.learning_rate": 0.003}};
- sends {"event": "evaluation", "step": ..., "metrics": {...}, "is_last": false} after each
  evaluation, and receives whether to continue: true or false;
- sends how the trial ended: {"event": "complete", "metrics": {...}} with those of the best
  checkpoint, {"event": "pruned"}, or {"event": "failed", "error": "one line"}; and waits for the
  next trial.

Each message it sends also has the `seconds` since the trial began.

For what happens when stdin ends, see `models.processes.json_lines`.
"""

import logging
import signal
import traceback
import types
from collections.abc import Mapping
from typing import Any

from etils import epath

from models.processes.json_lines import Channel, one_line

# Concurrent trials share a log.
_LOG_FORMAT = "%(levelname).1s%(asctime)s %(process)d %(name)s] %(message)s"


class _Pruned(Exception):
    """The search has stopped the trial early."""


def main() -> None:
    """Runs trials one after another."""
    # Ctrl-C reaches every process of a terminal; this one exits when its parent does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel()
    problem = channel.receive()

    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT)
    import tensorflow as tf

    from models.training import fitting  # noqa: F401 (slow, so before it is ready)

    tf.get_logger().setLevel(logging.INFO)
    channel.send(event="ready")
    while True:
        trial = channel.receive()
        channel.restart_clock()
        logging.info("%s: %s", trial["directory"], trial["values"])
        tf.keras.backend.clear_session()
        try:
            channel.send(**_run(channel, problem, trial))
        except Exception as error:
            traceback.print_exc()
            channel.send(event="failed", error=one_line(error))


def _run(channel: Channel, problem: Mapping[str, Any], trial: Mapping[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    from models.training import fitting
    from models.training.problem import Problem

    fn_args = types.SimpleNamespace(**problem)
    fn_args.hyperparameters = {"values": trial["values"]}
    tried = Problem.of(fn_args).replaced({"train.cluster": None})
    context = tried.context()
    # A model that draws without a seed must not depend on earlier trials.
    tf.keras.utils.set_random_seed(tried.settings.train.seed)

    def on_evaluation(step: int, metrics: Mapping[str, float]) -> None:
        is_last = step >= context.max_steps
        channel.send(event="evaluation", step=step, metrics=dict(metrics), is_last=is_last)
        if not channel.receive():
            raise _Pruned()

    try:
        best = fitting.fit(tried, context, epath.Path(trial["directory"]), on_evaluation)
    except _Pruned:
        return {"event": "pruned"}
    return {"event": "complete", "metrics": best.record().metrics}


if __name__ == "__main__":
    main()
