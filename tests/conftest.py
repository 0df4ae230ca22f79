"""What all tests share: examples of properties, an object store, and a server of forks.

What takes long to make can be made once for all test processes.
"""

import fcntl
import pathlib
import pickle
from collections.abc import Callable, Iterator
from typing import TypeVar

import fake_gcs
import forks
import hypothesis
import pytest

T = TypeVar("T")

hypothesis.settings.register_profile("same_each_time", derandomize=True)


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # one server for all test processes
        config.add_cleanup(forks.start_server())


@pytest.fixture(scope="session")
def once(request, tmp_path_factory) -> Callable[[str, Callable[[pathlib.Path], T]], T]:
    """Returns a function that makes something once for all processes of a test run.

    It is made in a folder of its own, by a function of that folder, and is pickled.
    """
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent

    def make(name: str, makes: Callable[[pathlib.Path], T]) -> T:
        kept = folder / f"{name}.pickle"
        with open(folder / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not kept.exists():
                kept.write_bytes(pickle.dumps(makes(folder / name)))
        return pickle.loads(kept.read_bytes())

    return make


@pytest.fixture(scope="session")
def _server(tmp_path_factory) -> Iterator[fake_gcs.Store]:
    # One for all: TensorFlow reads once which certificates it trusts.
    with fake_gcs.serving(tmp_path_factory.mktemp("gcs") / "server") as store:
        yield store


@pytest.fixture(scope="module")
def store(_server) -> Iterator[fake_gcs.Store]:
    """An object store, which this process and those that it starts find at `gs://`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _server.environment.items():
            patch.setenv(name, value)
        yield _server
        _server.refuse("")
    assert _server.unknown_requests() == []
