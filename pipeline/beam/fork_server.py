"""A process that forks Beam workers.

As in `multiprocessing`'s fork server, workers are forked from a process that has only done imports,
so that no lock is copied while held. The server is a fork of the process that starts it, so that
all share unchanged memory.
"""

import contextlib
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable
from multiprocessing import connection
from typing import Any

from apache_beam.runners.worker import sdk_worker

from models.processes import no_proxy

_fork = multiprocessing.get_context("fork")


class ForkServer:
    """The process that forks the workers.

    To be made after all imports and patches, which the workers inherit, and before any thread
    starts.
    """

    def __init__(self, capabilities: frozenset[str], is_together: bool):
        """Starts the process.

        Args:
            capabilities: what the runner supports, in Beam's names.
            is_together: whether the workers serve one job, so that all end if one of them fails.
        """
        no_proxy.exempt()
        self._requests, server_end = _fork.Pipe()
        self._process = _fork.Process(
            target=_serve, args=(server_end, self._requests, capabilities, is_together)
        )
        self._process.start()
        server_end.close()
        self._lock = threading.Lock()
        self._on_end: dict[str, Callable[[int], None]] = {}
        threading.Thread(target=self._hear, daemon=True).start()

    def start(self, worker: str, address: str, on_end: Callable[[int], None]) -> None:
        """Starts a worker; `on_end` gets its exit code, which is negative if a signal killed it."""
        self._on_end[worker] = on_end
        self._ask((worker, address))

    def kill(self, worker: str) -> None:
        """Kills a worker, if it has not ended."""
        self._ask((worker, None))

    def close(self) -> None:
        """Ends the server and all of its workers."""
        self._ask(None)
        self._process.join()

    def _ask(self, request: tuple[str, str | None] | None) -> None:
        with self._lock:
            try:
                self._requests.send(request)
            except BrokenPipeError:
                self._all_ended()

    def _hear(self) -> None:
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                worker, code = self._requests.recv()
                if on_end := self._on_end.pop(worker, None):
                    on_end(code)
        self._all_ended()

    def _all_ended(self) -> None:
        """Reports all workers as killed: without the server, nobody would notice their end."""
        while self._on_end:
            _, on_end = self._on_end.popitem()
            on_end(-signal.SIGKILL)


def _serve(
    requests: connection.Connection,
    other_end: connection.Connection,
    capabilities: frozenset[str],
    is_together: bool,
) -> None:
    """Forks and kills workers on request, until the requesting process ends or asks to stop."""
    other_end.close()
    # Ctrl-C and a closed terminal are handled by that process, which then ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    workers: dict[str, Any] = {}
    while True:
        ready_now = connection.wait([requests, *(process.sentinel for process in workers.values())])
        for worker in [name for name, process in workers.items() if process.sentinel in ready_now]:
            ended = workers.pop(worker)
            ended.join()
            requests.send((worker, ended.exitcode))
            if ended.exitcode and is_together:
                # Without this worker's results the others' are useless.
                _kill(workers)
        if requests in ready_now:
            try:
                request = requests.recv()
            except EOFError:
                request = None
            if request is None:
                _kill(workers)
                os._exit(0)
            worker, address = request
            if address is None:
                _kill({worker: workers[worker]} if worker in workers else {})
            else:
                workers[worker] = _fork.Process(
                    target=_work, args=(worker, address, requests, capabilities)
                )
                workers[worker].start()


def _kill(workers: dict[str, Any]) -> None:
    for process in workers.values():
        process.kill()


def _work(
    worker: str, address: str, requests: connection.Connection, capabilities: frozenset[str]
) -> None:
    requests.close()
    random.seed(0)  # like `beam_args.seed`: this worker may shuffle too
    # In each worker, TensorFlow would reserve the whole GPU.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    sdk_worker.SdkHarness(
        address,
        worker_id=worker,
        state_cache_size=0,
        runner_capabilities=capabilities,
    ).run()
    # A normal exit would wait for gRPC's threads.
    os._exit(0)
