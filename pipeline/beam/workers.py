"""Worker processes of this machine that run Beam's steps in parallel and start at once.

Beam's own worker processes (`--direct_running_mode=multi_processing`) import TensorFlow and TFX at
each step, which costs each of them 20 CPU seconds and 700 MB. Ours are forked: `fork_server`.
"""

import contextlib
import functools
import re
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.portability.api import beam_fn_api_pb2
from apache_beam.runners.portability.fn_api_runner import worker_handlers
from apache_beam.transforms import environments

from models import errors
from pipeline.beam import fork_server

_PATIENCE = 10.0
"""Seconds that a worker has to end by itself before it is killed."""
_MOMENT = 1.0
"""Seconds within which the end of a killed worker becomes known."""
_URN = "forked_worker:v1"

# Module globals, because Beam creates runners and handlers by name, without arguments of ours.
_server: fork_server.ForkServer | None = None
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
    _server = fork_server.ForkServer(worker_handlers.FNAPI_RUNNER_CAPABILITIES, is_together=True)
    count = wanted
    try:
        yield
    finally:
        _server.close()
        _server, count = None, 1


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
