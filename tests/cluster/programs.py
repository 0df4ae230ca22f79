"""Programs that run in the background while tests use them."""

import contextlib
import os
import pathlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

_Found = TypeVar("_Found")

_LOG_LINES = 30


def until(look: Callable[[], _Found | None], expected: str, seconds: float = 300) -> _Found:
    """Calls a function until what it returns is true, and returns that.

    Args:
        look: the function.
        expected: what it waits for, for the error.
        seconds: how long it waits.
    """
    end = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:.0f} s for {expected}")
        time.sleep(0.05)
    return found


@contextlib.contextmanager
def running(
    command: Sequence[str],
    log: pathlib.Path,
    is_ready: Callable[[], bool],
    environment: Mapping[str, str] = os.environ,
) -> Iterator[None]:
    """Context manager: runs a program, from when it is ready until the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env=dict(environment)
        )

    def has_started() -> bool:
        if process.poll() is not None:
            lines = log.read_text(errors="replace").splitlines()[-_LOG_LINES:]
            raise RuntimeError("\n".join([f"{command[0]} ended with {process.returncode}", *lines]))
        return is_ready()

    try:
        until(has_started, f"{command[0]} to be ready; its log is {log}")
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Returns a port that no program uses at present."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


def accepts_connections(port: int) -> bool:
    """Returns whether a program listens on a port."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0
