"""The processes that run trials, and their exchange of messages with the search."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

_MODULE = "models.programs.trial"


class Worker:
    """A process that runs one trial at a time.

    Attributes:
        trial: number of the trial that it is running, or None.
        is_ready: whether it has started up and can run trials.
    """

    def __init__(self, problem: Mapping[str, Any], environment: Mapping[str, str]):
        self.trial: int | None = None
        self.is_ready = False
        # The process ends when its stdin is closed, so it never outlives this one.
        self._process = subprocess.Popen(
            [sys.executable, "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self.send(problem)

    @property
    def stdout(self):
        """The stream that the process writes its messages to."""
        return self._process.stdout

    def send(self, message: Any) -> None:
        """Sends the process a message; if it has ended, the next `receive` returns None."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any] | None:
        """Waits for the next message and returns it; None if the process has ended."""
        line = self.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None

    def end(self) -> str:
        """Kills the process; returns how it ended: a signal or an exit code."""
        self._process.kill()
        code = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            with contextlib.suppress(BrokenPipeError):  # it ended before reading everything
                stream.close()
        return f"signal {-code}" if code < 0 else f"exit code {code}"


class Workers:
    """A pool of processes that are started on demand and ended when its context is left.

    Args:
        problem: first message to every process, see `models.programs.trial`.
        count: maximum number of processes, which share the machine's cores.
    """

    def __init__(self, problem: Mapping[str, Any], count: int):
        self._problem = problem
        self._count = count
        self._workers: list[Worker] = []
        self._selector = selectors.DefaultSelector()
        self._environment = _environment(count)

    def __enter__(self) -> "Workers":
        return self

    def __exit__(self, *unused) -> None:
        for worker in list(self._workers):
            self.end(worker)
        self._selector.close()

    @property
    def are_busy(self) -> bool:
        """Whether any process is running a trial."""
        return any(worker.trial is not None for worker in self._workers)

    @property
    def have_room(self) -> bool:
        """Whether another trial can be started now."""
        return sum(worker.trial is not None for worker in self._workers) < self._count

    def idle(self) -> Worker:
        """Returns a process without a trial, started if necessary."""
        for worker in self._workers:
            if worker.trial is None:
                return worker
        worker = Worker(self._problem, self._environment)
        self._workers.append(worker)
        self._selector.register(worker.stdout, selectors.EVENT_READ, worker)
        return worker

    def messages(self) -> Iterator[tuple[Worker, dict[str, Any] | None]]:
        """Waits for messages, and yields each with its process; the message is None if that ended.

        Raises:
            RuntimeError: a process ended before it could run anything.
        """
        for key, _ in self._selector.select():
            worker = key.data
            message = worker.receive()
            if message is None and not worker.is_ready:
                raise RuntimeError(f"a process for trials did not start ({self.end(worker)})")
            elif message is None and worker.trial is None:
                self.end(worker)
            elif message and message["event"] == "ready":
                worker.is_ready = True
            else:
                yield worker, message

    def end(self, worker: Worker) -> str:
        """Kills a process and removes it from the pool; returns how it ended."""
        self._workers.remove(worker)
        self._selector.unregister(worker.stdout)
        return worker.end()


def _environment(count: int) -> dict[str, str]:
    path = os.pathsep.join(place or os.getcwd() for place in sys.path)
    environment = {**os.environ, "PYTHONPATH": path}
    if count > 1:
        threads = str(max(len(os.sched_getaffinity(0)) // count, 1))
        environment.update(
            TF_NUM_INTRAOP_THREADS=threads,
            TF_NUM_INTEROP_THREADS=threads,
            OMP_NUM_THREADS=threads,
            TF_FORCE_GPU_ALLOW_GROWTH="true",
        )
    return environment
