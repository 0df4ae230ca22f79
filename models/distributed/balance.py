"""Balance among the training tasks of a cluster, so that all examples are seen equally often.

Each task trains on its own rows. Without this, the rows of a fast task would be seen more often
than the rows of a slow one.
"""

import time

import tensorflow as tf

from models import estimator_api
from models.progress.training_progress import EventCallback

_POLL_EVERY = 0.02
_REPORT_EVERY = 1.0
_PATIENCE = 60.0
"""Seconds without any step after which a waiting task continues: the others may be gone."""


class Balance(estimator_api.SessionRunHook):
    """Hook that makes a task wait while it is too far ahead of its share of the global step.

    Args:
        on_event: receives `waiting` events, so that a waiting task does not seem to hang.
        workers: number of training tasks, including the chief.
        lead: number of steps that a task may be ahead of its share. The slowest is then at most
            `(workers - 1) * lead` steps behind.
        max_steps: the step at which training, and any wait, ends.
    """

    def __init__(self, on_event: EventCallback, workers: int, lead: int, max_steps: int):
        self._on_event = on_event
        self._workers = workers
        self._lead = lead
        self._max_steps = max_steps

    def begin(self):
        """Resets the counts."""
        self._step = tf.compat.v1.train.get_global_step()
        self._first = self._latest = -1
        self._local_steps = 0

    def before_run(self, run_context):
        """Waits for the other tasks if this one is too far ahead."""
        reported_at = moved_at = time.monotonic()
        while self._is_ahead:
            time.sleep(_POLL_EVERY)
            now, before = time.monotonic(), self._latest
            self._update(int(run_context.session.run(self._step)))
            if self._latest != before:
                moved_at = now
            elif now - moved_at > _PATIENCE:
                self._local_steps -= self._lead
            if now - reported_at > _REPORT_EVERY:
                self._on_event(event="waiting")
                reported_at = now
        return tf.compat.v1.train.SessionRunArgs(self._step)

    def after_run(self, run_context, run_values):
        """Counts the step."""
        self._update(int(run_values.results))
        self._local_steps += 1

    @property
    def _is_ahead(self) -> bool:
        share = (self._latest - self._first) / self._workers
        return self._local_steps > share + self._lead and self._latest < self._max_steps

    def _update(self, step: int) -> None:
        if self._first < 0 or step < self._latest:
            # The first step, or training went back to a checkpoint, which undoes any lead.
            self._first, self._local_steps = step, 0
        self._latest = step
