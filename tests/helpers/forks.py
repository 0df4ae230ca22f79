"""Programs in processes that are forked from one that has imported TensorFlow and TFX once.

A fresh interpreter spends up to 20 CPU seconds on these imports. Tests of signals, terminals,
memory or the order of sets, which differs between interpreters, use `subprocess` instead.
"""

import contextlib
import gc
import importlib
import json
import os
import pathlib
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

TRAINING = ("models.training.trainer",)
PIPELINE = ("pipeline.beam.dag_runner", "pipeline.graph.pipeline", "pipeline.scoring.predict")
KUBEFLOW = (*PIPELINE, "pipeline.kubeflow.compile.compiler")
"""Modules that a program imports, and which the server imports before it forks."""

_REPOSITORY = pathlib.Path(__file__).parents[2]
_ADDRESS = "TESTS_FORK_SERVER"
"""Environment variable by which all processes of a test session find the server's socket."""


class Process:
    """A program in a forked process; has the attributes and methods of `subprocess.Popen`.

    Args:
        arguments: a script or `-m` and a module, and their arguments, as after `python`.
        preload: modules that the program is forked with.
        stdout: the file that receives its output.
        stderr: the file that receives its errors.
        env: its environment; by default this process's.
        start_new_session: whether it leads a session, and so a process group, of its own.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        preload: Sequence[str],
        stdout: IO,
        stderr: IO,
        env: Mapping[str, str] | None = None,
        start_new_session: bool = False,
    ):
        self.args = arguments
        self.returncode: int | None = None
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._server.connect(f"\0{os.environ[_ADDRESS]}")
        request = {
            "arguments": [*arguments],
            "preload": [*preload],
            "cwd": os.getcwd(),
            "environment": dict(os.environ if env is None else env),
            "new_session": start_new_session,
        }
        socket.send_fds(
            self._server, [json.dumps(request).encode()], [stdout.fileno(), stderr.fileno()]
        )
        self.pid: int = self._answer()["pid"]

    def _answer(self) -> dict[str, Any]:
        text = self._server.recv(1 << 20)
        assert text, "the server of forks ended"
        answer = json.loads(text)
        assert "error" not in answer, answer["error"]
        return answer

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end; returns the exit code, negative for a signal."""
        if self.returncode is None:
            self._server.settimeout(timeout)
            try:
                self.returncode = self._answer()["code"]
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0) from None
            self._server.close()
        assert self.returncode is not None
        return self.returncode

    def poll(self) -> int | None:
        """Returns the exit code; None while it is running."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends it a signal, if it has not ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kills it."""
        self.send_signal(signal.SIGKILL)


def run(
    arguments: Sequence[str], preload: Sequence[str], timeout: float = 600.0
) -> subprocess.CompletedProcess:
    """Runs a program to its end, as `subprocess.run` does with `capture_output` and `text`."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = Process(arguments, preload, out, err)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(process.args, code, out.read(), err.read())


def start_server() -> Callable[[], object]:
    """Starts the server of a test session; returns a function that ends it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind("")  # the kernel chooses an address
    listener.listen()
    os.environ[_ADDRESS] = listener.getsockname()[1:].decode()
    server = subprocess.Popen(
        [sys.executable, __file__, str(listener.fileno())],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=[listener.fileno()],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )
    listener.close()
    return server.communicate  # it ends when its stdin does


def _serve(listener: socket.socket) -> None:
    """Forks a process for each request; returns in the forked process, when it shall go on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is for the tests and their programs
    signal.signal(signal.SIGCHLD, _reap)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            sys.exit()
        client, _ = listener.accept()
        text, streams, _, _ = socket.recv_fds(client, 1 << 20, 2)
        request = json.loads(text)
        try:
            for module in request["preload"]:
                importlib.import_module(module)
        except Exception:
            client.send(json.dumps({"error": traceback.format_exc()}).encode())
        else:
            gc.freeze()  # or each child's collector would touch, and so copy, every page
            if os.fork() == 0:
                listener.close()
                _fork(client)
                _become(request, *streams)
                return
        client.close()
        for stream in streams:
            os.close(stream)


def _reap(signum: int, frame: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue


def _fork(client: socket.socket) -> None:
    """Forks once more and returns in the child; this process reports its id and exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if child := os.fork():
        client.send(json.dumps({"pid": child}).encode())
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(BrokenPipeError):  # the test did not wait for it
            client.send(json.dumps({"code": os.waitstatus_to_exitcode(status)}).encode())
        os._exit(0)
    client.close()


def _become(request: dict[str, Any], out: int, err: int) -> None:
    """Makes this process what the program's interpreter would be, and runs the program."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request["new_session"]:
        os.setsid()
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (out, 1), (err, 2)):
        os.dup2(source, target)
        os.close(source)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    option, *rest = arguments = request["arguments"]
    if option == "-m":
        sys.path[0], sys.argv = os.getcwd(), rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0], sys.argv = os.path.dirname(option), arguments
        runpy.run_path(option, run_name="__main__")


if __name__ == "__main__":
    sys.path[0] = str(_REPOSITORY)
    _serve(socket.socket(fileno=int(sys.argv[1])))
