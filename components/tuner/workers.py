"""The processes that run trials, and what is said between them and the one that asks for trials."""

import contextlib
import json
import os
import selectors
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

_MODULE = "models.trial_worker"


class Worker:
    """One process, which runs one trial at a time.

    Attributes:
        trial: the number of the trial that it runs, or None.
        is_ready: whether it has come as far as to run trials.
    """

    def __init__(self, problem: Mapping[str, Any], environment: Mapping[str, str]):
        self.trial: int | None = None
        self.is_ready = False
        # It ends when its stdin does, so it outlives us in no way that we may end.
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
        """Where it writes its messages."""
        return self._process.stdout

    def send(self, message: Any) -> None:
        """Sends it a message; if it has ended, `receive` will tell."""
        assert self._process.stdin
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()

    def receive(self) -> dict[str, Any] | None:
        """Its next message, which is waited for; None if it has ended."""
        line = self.stdout.readline()
        return json.loads(line) if line.endswith("\n") else None

    def end(self) -> str:
        """Ends it, whatever it does; says how it ended."""
        self._process.kill()
        code = self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream
            with contextlib.suppress(BrokenPipeError):  # it ended before it read everything
                stream.close()
        return f"signal {-code}" if code < 0 else f"exit code {code}"


class Workers:
    """A pool of workers, started when they are needed; a context that none of them outlives.

    Args:
        problem: what every worker is told first, see `models.trial_worker`.
        count: how many there may be. They share the machine's cores.
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
        """Whether any of them runs a trial."""
        return any(worker.trial is not None for worker in self._workers)

    @property
    def have_room(self) -> bool:
        """Whether one more trial can be run now."""
        return sum(worker.trial is not None for worker in self._workers) < self._count

    def idle(self) -> Worker:
        """A worker without a trial."""
        for worker in self._workers:
            if worker.trial is None:
                return worker
        worker = Worker(self._problem, self._environment)
        self._workers.append(worker)
        self._selector.register(worker.stdout, selectors.EVENT_READ, worker)
        return worker

    def messages(self) -> Iterator[tuple[Worker, dict[str, Any] | None]]:
        """Waits for messages: pairs of a worker with a trial and what it says, None if it ended.

        Raises:
            RuntimeError: a worker ended before it could run anything.
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
        """Ends a worker; says how it ended."""
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
