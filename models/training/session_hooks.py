"""Hooks of a training's sessions: they report steps and checkpoints, and end a standstill."""

import time
from collections.abc import Callable, Mapping

import tensorflow as tf

from models import estimator_api
from models.diagnostics import error_hints
from models.diagnostics.model_errors import ModelError
from models.progress.training_progress import EventCallback

_REPORT_EVERY = 1.0
"""Seconds between reports."""
_WRITE_EVERY = 100
"""Steps between summaries."""
_STILL_RUNS = 500
_STILL_SECONDS = 10.0
"""How long the global step may stand still: a training ends once both limits are exceeded."""


class StepReporter(estimator_api.SessionRunHook):
    """Hook that reports steps about once a second and writes summaries for TensorBoard.

    Args:
        on_event: receives `step` events with the global step and the examples per second since the
            previous event.
        batch_size: number of examples per step.
        directory: directory of the summaries.
        count_all_tasks: whether to count the steps of all tasks or only those of this one.
        with_loss: whether to write the loss too; the chief's Estimator does so by itself.
    """

    def __init__(
        self,
        on_event: EventCallback,
        batch_size: int,
        directory: str,
        *,
        count_all_tasks: bool,
        with_loss: bool,
    ):
        self._on_event = on_event
        self._batch_size = batch_size
        self._directory = directory
        self._count_all_tasks = count_all_tasks
        self._with_loss = with_loss
        self._local_steps = 0

    def begin(self):
        """Looks up the tensors to fetch at each step."""
        self._fetched = {"step": tf.compat.v1.train.get_global_step()}
        losses = tf.compat.v1.get_collection(tf.compat.v1.GraphKeys.LOSSES)
        if self._with_loss and losses:
            self._fetched["loss"] = losses[-1]
        self._reported_at = self._written_at = None

    def before_run(self, run_context):
        """Fetches the tensors."""
        return tf.compat.v1.train.SessionRunArgs(self._fetched)

    def after_run(self, run_context, run_values):
        """Reports the step and writes summaries when due."""
        now, step = time.monotonic(), int(run_values.results["step"])
        self._local_steps += 1
        moment = now, step if self._count_all_tasks else self._local_steps
        # The first step is slow, since it optimises the graph and reads the data.
        if self._reported_at is None or self._written_at is None:
            self._reported_at = self._written_at = moment
            self._on_event(event="step", step=step, examples_per_second=0.0)
        elif now - self._reported_at[0] >= _REPORT_EVERY:
            rate = self._rate(self._reported_at, moment)
            self._on_event(event="step", step=step, examples_per_second=rate)
            self._reported_at = moment
        if moment[1] - self._written_at[1] >= _WRITE_EVERY:
            values = {"examples/sec": self._rate(self._written_at, moment)}
            if "loss" in run_values.results:
                values["loss"] = float(run_values.results["loss"])
            self._write(step, values)
            self._written_at = moment

    def end(self, session):
        """Reports the last step."""
        step = int(session.run(self._fetched["step"]))
        self._on_event(event="step", step=step, examples_per_second=0.0)

    def _rate(self, before: tuple[float, int], now: tuple[float, int]) -> float:
        return (now[1] - before[1]) * self._batch_size / (now[0] - before[0])

    def _write(self, step: int, values: Mapping[str, float]) -> None:
        summary = tf.compat.v1.Summary()
        for tag, value in values.items():
            summary.value.add(tag=tag, simple_value=value)
        # Share the writer with the Estimator's own hooks, so that each task has one file.
        tf.compat.v1.summary.FileWriterCache.get(self._directory).add_summary(summary, step)


class Standstill(estimator_api.SessionRunHook):
    """Hook that ends a training whose steps do not increment the global step.

    Such a training would never end. Runs are counted as well as seconds, since a session that waits
    for other tasks makes no runs and slow steps make few. Models that increment the step once in
    several runs, as with gradient accumulation, may use up to `_STILL_RUNS` runs per step.
    """

    def __init__(self) -> None:
        self._step: int | None = None

    def before_run(self, run_context):
        """Fetches the global step."""
        return tf.compat.v1.train.SessionRunArgs(tf.compat.v1.train.get_global_step())

    def after_run(self, run_context, run_values):
        """Checks that the step does not stand still.

        Raises:
            ModelError: the step has stood still for too long.
        """
        step = int(run_values.results)
        if step != self._step:
            self._step, self._runs, self._since = step, 0, time.monotonic()
            return
        self._runs += 1
        if self._runs >= _STILL_RUNS and time.monotonic() - self._since >= _STILL_SECONDS:
            raise ModelError(
                f"the global step is stuck at {step} after {self._runs} runs of the train op, "
                f"so training would never end; {error_hints.COUNT}"
            )


class EvaluationReporter(estimator_api.SessionRunHook):
    """Hook that reports at most once a second that an evaluation is running."""

    def __init__(self, on_event: EventCallback):
        self._on_event = on_event
        self._reported_at = 0.0

    def after_run(self, run_context, run_values):
        """Reports `evaluating` when due."""
        if time.monotonic() - self._reported_at >= _REPORT_EVERY:
            self._on_event(event="evaluating")
            self._reported_at = time.monotonic()


class CheckpointReporter(estimator_api.CheckpointSaverListener):
    """Listener that reports each checkpoint and then calls a function."""

    def __init__(self, on_event: EventCallback, then: Callable[[], None] | None = None):
        self._on_event = on_event
        self._then = then

    def after_save(self, session, global_step_value):
        """Reports the checkpoint and calls the function."""
        self._on_event(event="checkpoint", step=int(global_step_value))
        if self._then:
            self._then()
