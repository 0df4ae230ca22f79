"""Supervisor that starts the tasks of a cluster, watches them, and ends them all in any case.

- A task that dies is restarted: at once the first time, then after growing pauses. `max_restarts`
  limits the restarts of all tasks together.
- A task that hangs is killed, and counts as dead. A chief or worker hangs if it makes no step, a
  parameter server if it sends no message, an evaluator if it does not evaluate a new checkpoint.
- When the chief dies, the workers are paused until the new chief has restored the last checkpoint,
  since their steps meanwhile would be undone; workers that had finished are restarted for the same
  reason. When a parameter server dies, the sessions of all others restore that checkpoint.
- An error that a task reports comes from the model or the data and would recur, so it ends the
  training. A transient error counts as the death of the task.
"""

import dataclasses
import pathlib
import selectors
import time
from contextlib import ExitStack
from typing import Any

from absl import logging

from models.distributed import layout, task_process
from models.distributed.layout import CHIEF, EVALUATOR, PARAMETER_SERVER, WORKER, Name
from models.distributed.task_process import TaskProcess
from models.errors import StepError
from models.progress.training_progress import Progress
from models.settings.training_settings import Tasks

_POLL_EVERY = 0.2
_START_SECONDS = 300.0
"""Added to the limit until the first step: imports and reading the data take long."""
_SILENT_SECONDS = 5.0
"""Silence after which a parameter server, which sends a message every second, is suspect."""
_FINISH_SECONDS = 10.0
"""Time for workers to finish by themselves after the chief has."""
_LONGEST_PAUSE = 60.0


class TaskError(StepError):
    """An error that ended the training of a cluster."""


class RemoteTraceback(Exception):
    """Exception cause that shows the traceback of another process."""


@dataclasses.dataclass
class _Task:
    """A task and its current process.

    Attributes:
        name: role and index of the task.
        process: the current process; None while the task waits for its start, and when it is done.
        due: when to start the task (monotonic clock); None if it is not waiting.
        restarts: number of restarts.
        progressed_at: when the task last made progress (monotonic clock).
        is_working: whether the current process has started up and is doing its part.
        is_done: whether the task has nothing left to do.
        error: the transient error that the process reported before it ended.
    """

    name: Name
    process: TaskProcess | None = None
    due: float | None = 0.0
    restarts: int = 0
    progressed_at: float = 0.0
    is_working: bool = False
    is_done: bool = False
    error: str = ""


class Supervisor:
    """Context manager that runs the cluster of a training; on exit it kills all its processes.

    Args:
        tasks: the tasks of the cluster.
        directory: the training directory.
        problem: the problem as JSON values, sent to every task.
        logs: folder of the tasks' logs.
        progress: receives the progress.
    """

    def __init__(
        self,
        tasks: Tasks,
        directory: str,
        problem: Any,
        logs: pathlib.Path,
        progress: Progress,
    ):
        self.restarts: list[dict[str, Any]] = []
        self._settings = tasks
        self._directory = directory
        self._problem = problem
        self._logs = logs
        self._progress = progress
        self._tasks = {str(name): _Task(name) for name in layout.names(tasks)}
        self._selector = selectors.DefaultSelector()
        self._stack = ExitStack()
        self._disturbed = 0.0  # when tasks last had to wait for another
        self._finished: float | None = None

    def __enter__(self) -> "Supervisor":
        self._logs.mkdir(parents=True, exist_ok=True)
        self._stack.enter_context(self._selector)
        self._addresses = self._stack.enter_context(
            layout.addresses([task.name for task in self._tasks.values()])
        )
        return self

    def __exit__(self, *unused) -> None:
        for task in self._tasks.values():
            self._end(task)
        self._stack.close()

    def run(self) -> None:
        """Trains to the end, and until any evaluator has evaluated the last checkpoint.

        Raises:
            TaskError: a task reported an error, or too many tasks died.
        """
        while not self._is_over():
            self._start_due()
            for key, _ in self._selector.select(_POLL_EVERY):
                self._read_messages(key.data)
            self._end_hanging()

    def _with_role(self, *roles: str) -> list[_Task]:
        return [task for task in self._tasks.values() if task.name.role in roles]

    @property
    def _chief(self) -> _Task:
        return self._tasks[CHIEF]

    def _is_over(self) -> bool:
        if self._finished is None:
            return False
        patience = time.monotonic() - self._finished < _FINISH_SECONDS
        if patience and any(task.process for task in self._with_role(WORKER)):
            return False
        return all(task.is_done for task in self._with_role(EVALUATOR))

    def _start_due(self) -> None:
        for task in self._tasks.values():
            if task.due is None or task.due > time.monotonic():
                continue
            if task.name.role == WORKER and self._chief.restarts and not self._chief.is_working:
                continue
            task.due, task.progressed_at = None, time.monotonic()
            task.is_working, task.error = False, ""
            task.process = TaskProcess(
                self._directory,
                self._problem,
                task_process.variables(
                    layout.tf_config(self._addresses, task.name),
                    on_gpu=task.name.role != PARAMETER_SERVER,
                ),
                self._logs / f"{task.name}.log",
            )
            self._selector.register(task.process, selectors.EVENT_READ, task)
            logging.info("%s started: process %d", task.name, task.process.pid)
            self._report_tasks()

    def _read_messages(self, task: _Task) -> None:
        if task.process is None:
            return  # killed in the meantime
        for message in task.process.messages():
            self._handle_event(task, **message)
        if task.process and task.process.has_ended:
            exit_status = self._end(task)
            if not task.is_done:
                self._schedule_restart(task, task.error or f"ended with {exit_status}")

    def _handle_event(self, task: _Task, event: str, **message: Any) -> None:
        now, role = time.monotonic(), task.name.role
        if event == "failed":
            if not message["is_transient"]:
                logging.error("%s:\n%s", task.name, message["traceback"])
                raise TaskError(f"{task.name}: {message['error']}") from RemoteTraceback(
                    f"\n\nin {task.name}:\n{message['traceback']}"
                )
            task.error = f"failed with {message['error']}"
        elif event == "done":
            task.is_done = True
            if role == CHIEF:
                self._finished = now
        elif event == "ready":
            task.progressed_at = now
            if not task.name.trains:
                self._mark_working(task)
        elif event == "alive":
            if role == PARAMETER_SERVER:
                task.progressed_at = now
        else:
            task.progressed_at = now
            if event == "step" and not task.is_working:
                self._mark_working(task)
            if role == CHIEF or event == "evaluation":
                self._progress.record_event(event, **message)
        if role == EVALUATOR and self._finished and self._evaluated_all:
            task.is_done = True

    def _mark_working(self, task: _Task) -> None:
        """Marks a task as doing its part; workers resume once the chief does."""
        task.is_working, self._disturbed = True, time.monotonic()
        if task.name.role == CHIEF:
            for worker in self._with_role(WORKER):
                if worker.process:
                    worker.process.resume()
        self._report_tasks()

    @property
    def _evaluated_all(self) -> bool:
        evaluated, last = self._progress.evaluation, self._progress.checkpoint
        return evaluated is not None and last is not None and evaluated[0] >= last

    def _schedule_restart(self, task: _Task, reason: str) -> None:
        """Schedules the restart of a task whose process ended too early.

        Raises:
            TaskError: the cluster has used up its restarts.
        """
        if self._finished and task.name.role in (WORKER, PARAMETER_SERVER):
            return
        step = self._progress.step
        logging.warning("%s %s, at step %d", task.name, reason, step)
        if len(self.restarts) >= self._settings.max_restarts:
            raise TaskError(
                f"{task.name} {reason} at step {step}, after {len(self.restarts)} restarts of the "
                f"cluster's tasks; its log is {self._logs / f'{task.name}.log'}; to allow more, "
                "raise train.cluster.max_restarts"
            )
        self.restarts.append({"task": str(task.name), "step": step, "reason": reason})
        pause = min(2.0**task.restarts - 1, _LONGEST_PAUSE)
        task.restarts += 1
        task.due, task.is_working = time.monotonic() + pause, False
        if task.name.role == PARAMETER_SERVER:
            # Their next step follows a restore, so it may take as long as a first one.
            for other in self._with_role(CHIEF, WORKER):
                other.is_working = False
        if task.name.role == CHIEF:
            for worker in self._with_role(WORKER):
                if worker.process:
                    worker.process.pause()
                elif worker.is_done:
                    worker.is_done, worker.due = False, task.due
        self._report_tasks()

    def _end_hanging(self) -> None:
        now = time.monotonic()
        vital = self._with_role(PARAMETER_SERVER, CHIEF)
        # While one of these is starting up, or a server is silent, the other tasks wait for it.
        others_wait = any(
            not (task.is_working or task.is_done)
            or (task.name.role == PARAMETER_SERVER and now - task.progressed_at > _SILENT_SECONDS)
            for task in vital
        )
        if others_wait:
            self._disturbed = now
        for task in [*vital, *self._with_role(WORKER, EVALUATOR)]:
            if task.process is None or task.is_done:
                continue
            limit, since = float(self._settings.hang_seconds), task.progressed_at
            if not task.is_working:
                limit += _START_SECONDS
            elif task.name.role == EVALUATOR and self._evaluated_all:
                task.progressed_at = since = now
            elif task.name.role != PARAMETER_SERVER:
                since = max(since, self._disturbed)
            if now - since > limit:
                self._end(task)
                self._schedule_restart(task, f"hung ({limit:.0f} s without a step) and was killed")

    def _end(self, task: _Task) -> str:
        if task.process is None:
            return ""
        self._selector.unregister(task.process)
        exit_status = task.process.end()
        task.process = None
        return exit_status

    def _report_tasks(self) -> None:
        tasks = self._tasks.values()
        text = f"{sum(task.is_working for task in tasks)}/{len(tasks)} tasks"
        restarting = [str(task.name) for task in tasks if task.restarts and not task.is_working]
        if restarting:
            text += f" (restarting: {', '.join(restarting)})"
        self._progress.record_tasks(text)
