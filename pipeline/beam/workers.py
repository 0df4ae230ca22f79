"""Worker processes that run Beam's steps in parallel and start at once.

Beam's own worker processes (`--direct_running_mode=multi_processing`) import TensorFlow and TFX at
each step, which costs each of them 20 CPU seconds and 700 MB. As in `multiprocessing`'s fork
server, ours are forked from a process that has only done imports, so that no lock is copied while
held. That server is a fork of this process, so that all share unchanged memory.
"""

import contextlib
import functools
import multiprocessing
import os
import random
import re
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing import connection
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.runners.worker import sdk_worker
from apache_beam.transforms import environments

from models import errors
from models.processes import no_proxy

_PATIENCE = 10.0
"""Seconds that a worker has to end by itself before it is killed."""
_MOMENT = 1.0
"""Seconds within which the end of a killed worker becomes known."""
_URN = "forked_worker:v1"

_fork = multiprocessing.get_context("fork")
# Module globals, because Beam creates runners and handlers by name, without arguments of ours.
_server: "_Server | None" = None
count = 1
"""Number of workers of each step; with one, this process runs the steps itself."""


@contextlib.contextmanager
def ready(wanted: int) -> Iterator[None]:
    """Context manager: Beam steps inside it run on `wanted` worker processes.

    To be entered after all imports and patches, which the workers inherit, and before any thread
    starts.
    """
    global _server, count
    if wanted == 1:
        yield
        return
    _server, count = _Server(), wanted
    try:
        yield
    finally:
        _server.close()
        _server, count = None, 1


class _Server:
    """The process that forks the workers."""

    def __init__(self):
        no_proxy.exempt()
        self._requests, server_end = _fork.Pipe()
        self._process = _fork.Process(target=_serve, args=(server_end, self._requests))
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


def _serve(requests: connection.Connection, other_end: connection.Connection) -> None:
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
            if ended.exitcode:
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
                workers[worker] = _fork.Process(target=_work, args=(worker, address, requests))
                workers[worker].start()


def _kill(workers: dict[str, Any]) -> None:
    for process in workers.values():
        process.kill()


def _work(worker: str, address: str, requests: connection.Connection) -> None:
    requests.close()
    random.seed(0)  # like `beam_args.seed`: this worker may shuffle too
    # In each worker, TensorFlow would reserve the whole GPU.
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    sdk_worker.SdkHarness(
        address,
        worker_id=worker,
        state_cache_size=0,
        runner_capabilities=worker_handlers.FNAPI_RUNNER_CAPABILITIES,
    ).run()
    # A normal exit would wait for gRPC's threads.
    os._exit(0)


@environments.Environment.register_urn(_URN, None)
class Environment(environments.EmbeddedPythonEnvironment):
    """Beam environment whose functions run in forked workers."""

    def to_runner_api_parameter(self, context):  # noqa: D102 (Beam's)
        return _URN, None

    @staticmethod
    def from_runner_api_parameter(payload, capabilities, artifacts, resource_hints, context):  # noqa: D102 (Beam's)
        return Environment(capabilities, artifacts, resource_hints)


@worker_handlers.WorkerHandler.register_environment(_URN, None)
class Handler(worker_handlers.GrpcWorkerHandler):
    """Beam's handler of one forked worker.

    Attributes:
        at_work: the id of the last bundle that the worker was given; empty before the first.
    """

    def __init__(self, payload, state, provision_info, grpc_server):
        super().__init__(state, provision_info, grpc_server)
        self.at_work = ""
        self._end = beam_fn_api_pb2.InstructionResponse()
        self._has_ended = threading.Event()
        ask = functools.partial(self._ask, self.control_conn.push)
        setattr(self.control_conn, "push", ask)  # noqa: B010

    def start_worker(self) -> None:  # noqa: D102 (Beam's)
        assert _server
        _server.start(self.worker_id, self.control_address, self._on_end)

    def stop_worker(self) -> None:  # noqa: D102 (Beam's)
        assert _server
        if not self._has_ended.wait(_PATIENCE):
            _server.kill(self.worker_id)

    def failure(self, text: str) -> Exception:
        """Returns the exception to raise for an error that Beam reports as text."""
        if self._has_ended.wait(_MOMENT):
            return RuntimeError(self._end.error)
        # In a trace, the error follows the last indented line.
        error = re.split(r"^ .*\n", text, flags=re.MULTILINE)[-1].strip()
        return errors.named(error) or RuntimeError(error)

    def _ask(self, push: Callable, request: Any) -> Any:
        answer = push(request)
        if answer is not None:
            if self._has_ended.is_set():
                answer.set(self._end)
            if request.HasField("process_bundle"):
                self.at_work = request.instruction_id
        return answer

    def _on_end(self, code: int) -> None:
        """Answers all pending and later requests to the worker with an error, once it has ended."""
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        self._end.error = (
            f"a worker process ended ({how}); if the machine was short of memory, lower "
            "beam.workers"
        )
        self._has_ended.set()
        for future in list(self.control_conn._futures_by_id.values()):
            future.set(self._end)
