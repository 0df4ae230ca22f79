"""Runs the trials of a search in a process of its own: `python -m models.trial_worker`.

It is told by lines of JSON on stdin, and answers with lines of JSON on stdout:

- it is told what the problem is: an object with the attributes of `FnArgs` that `Problem.of` reads;
- it says {"event": "ready"};
- it is told a trial: {"directory": ..., "values": {"model.params.learning_rate": 0.003}};
- it says {"event": "evaluation", "step": ..., "metrics": {...}, "is_last": false}, and waits to be
  told whether to go on: true or false;
- it says how the trial ended: {"event": "complete", "metrics": {...}}, of the best checkpoint, or
  {"event": "pruned"}, or {"event": "failed", "error": "one line"}; and waits for the next trial.

All it says has `seconds` too, since the trial began.

For what happens when stdin ends, see `models.channel`.
"""

import logging
import signal
import traceback
import types
from collections.abc import Mapping
from typing import Any

from etils import epath

from models.channel import Channel, one_line

# Trials that run at a time share a log.
_LOG_FORMAT = "%(levelname).1s%(asctime)s %(process)d %(name)s] %(message)s"


class _Pruned(Exception):
    """The trial is not worth going on with."""


def main() -> None:
    """Runs one trial after the other."""
    # Ctrl-C reaches every process of a terminal; this one ends with the one that asked for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = Channel()
    problem = channel.receive()

    logging.basicConfig(level=logging.INFO, format=_LOG_FORMAT)
    import tensorflow as tf

    from models import training  # noqa: F401 (slow, so before it is ready)

    tf.get_logger().setLevel(logging.INFO)
    channel.send(event="ready")
    while True:
        trial = channel.receive()
        channel.restart()
        logging.info("%s: %s", trial["directory"], trial["values"])
        tf.keras.backend.clear_session()
        try:
            channel.send(**_run(channel, problem, trial))
        except Exception as error:
            traceback.print_exc()
            channel.send(event="failed", error=one_line(error))


def _run(channel: Channel, problem: Mapping[str, Any], trial: Mapping[str, Any]) -> dict[str, Any]:
    import tensorflow as tf

    from models import training
    from models.problem import Problem

    tried = Problem.of(
        types.SimpleNamespace(**problem, hyperparameters={"values": trial["values"]})
    ).replaced({"train.cluster": None})
    context = tried.context()
    # A model that draws without a seed must not depend on the trials before.
    tf.keras.utils.set_random_seed(tried.settings["train"]["seed"])

    def on_evaluation(step: int, metrics: Mapping[str, float]) -> None:
        is_last = step >= context.max_steps
        channel.send(event="evaluation", step=step, metrics=dict(metrics), is_last=is_last)
        if not channel.receive():
            raise _Pruned()

    try:
        best = training.fit(tried, context, epath.Path(trial["directory"]), on_evaluation)
    except _Pruned:
        return {"event": "pruned"}
    return {"event": "complete", "metrics": best.record()["metrics"]}


if __name__ == "__main__":
    main()
