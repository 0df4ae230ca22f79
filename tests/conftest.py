"""What all tests share: examples of properties, an object store, and a server of forks."""

from collections.abc import Iterator

import fake_gcs
import forks
import hypothesis
import pytest

hypothesis.settings.register_profile("same_each_time", derandomize=True)


def pytest_configure(config):
    if not hasattr(config, "workerinput"):  # one server for all test processes
        config.add_cleanup(forks.start_server())


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
