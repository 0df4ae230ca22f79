"""The processes that run the trials of a search."""

import os
import selectors
from collections.abc import Iterator, Mapping
from typing import Any

from models.processes.json_lines import ChildProcess

_MODULE = "models.programs.trial"


class TrialProcess(ChildProcess):
    """A process that runs one trial at a time; see `models.programs.trial` for its messages.

    Attributes:
        trial: number of the trial that it is running, or None.
        is_ready: whether it has started up and can run trials.
    """

    def __init__(self, problem: Any, variables: Mapping[str, str]):
        super().__init__([_MODULE], variables)
        self.trial: int | None = None
        self.is_ready = False
        self.send(problem)


class TrialPool:
    """Context manager: a pool of processes, started on demand and ended on exit.

    Args:
        problem: the problem as JSON values, sent to every process.
        size: maximum number of processes, which share the machine's cores.
    """

    def __init__(self, problem: Any, size: int):
        self._problem = problem
        self._size = size
        self._processes: list[TrialProcess] = []
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> "TrialPool":
        return self

    def __exit__(self, *unused) -> None:
        for process in list(self._processes):
            self.end(process)
        self._selector.close()

    @property
    def is_busy(self) -> bool:
        """Whether any process is running a trial."""
        return any(process.trial is not None for process in self._processes)

    @property
    def has_room(self) -> bool:
        """Whether another trial can be started now."""
        return sum(process.trial is not None for process in self._processes) < self._size

    def idle_process(self) -> TrialProcess:
        """Returns a process without a trial, started if necessary."""
        for process in self._processes:
            if process.trial is None:
                return process
        process = TrialProcess(self._problem, _variables(self._size))
        self._processes.append(process)
        self._selector.register(process, selectors.EVENT_READ, process)
        return process

    def messages(self) -> Iterator[tuple[TrialProcess, dict[str, Any] | None]]:
        """Waits for messages, and yields each with its process.

        If the process of a trial ends, yields None instead of a message; the caller then has to
        `end` it.

        Raises:
            RuntimeError: a process ended before it could run anything.
        """
        for key, _ in self._selector.select():
            process = key.data
            for message in process.messages():
                if message["event"] == "ready":
                    process.is_ready = True
                else:
                    yield process, message
            if not process.has_ended:
                continue
            if not process.is_ready:
                raise RuntimeError(f"a process for trials did not start ({self.end(process)})")
            if process.trial is None:
                self.end(process)
            else:
                yield process, None

    def end(self, process: TrialProcess) -> str:
        """Kills a process and removes it from the pool; returns how it ended."""
        self._processes.remove(process)
        self._selector.unregister(process)
        return process.end()


def _variables(size: int) -> dict[str, str]:
    """Returns the environment variables to set for one of several processes on this machine."""
    if size == 1:
        return {}
    threads = str(max(len(os.sched_getaffinity(0)) // size, 1))
    return {
        "TF_NUM_INTRAOP_THREADS": threads,
        "TF_NUM_INTEROP_THREADS": threads,
        "OMP_NUM_THREADS": threads,
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
    }
