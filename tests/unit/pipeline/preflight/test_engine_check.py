"""Tests that a run ends at once if its engine does not answer."""

import contextlib
import functools
import socket
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import pytest
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc

from models.errors import UserError
from pipeline.config.beam_config import Beam
from pipeline.preflight.engine_check import check_engine

POOL = {"worker_pool": "localhost:50000"}


@pytest.fixture(autouse=True)
def java(tmp_path, monkeypatch):
    """Puts a program called java on PATH, alone."""
    (tmp_path / "java").touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path / "java"


class _Jobs(beam_job_api_pb2_grpc.JobServiceServicer):
    def DescribePipelineOptions(self, request, context):
        return beam_job_api_pb2.DescribePipelineOptionsResponse()


@contextlib.contextmanager
def _serving(add_services: Callable[[grpc.Server], None]) -> Iterator[str]:
    """Serves by gRPC; yields the address."""
    with futures.ThreadPoolExecutor() as threads:
        server = grpc.server(threads)
        add_services(server)
        port = server.add_insecure_port("localhost:0")
        server.start()
        yield f"localhost:{port}"
        server.stop(None)


@pytest.fixture(scope="module")
def job_server():
    """Yields the address of a job server."""
    add = functools.partial(beam_job_api_pb2_grpc.add_JobServiceServicer_to_server, _Jobs())
    with _serving(add) as address:
        yield address


@pytest.fixture
def grpc_server():
    """Yields the address of a gRPC server without services."""
    with _serving(lambda server: None) as address:
        yield address


@pytest.fixture
def listening():
    """Yields the address of a socket that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def closed():
    """Returns an address at which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return f"127.0.0.1:{port}"


def test_an_engine_that_answers_passes(job_server, listening):
    check_engine(Beam())
    check_engine(Beam(args=["--runner=X"]))
    check_engine(Beam(engine="prism", master=job_server, worker_pool=listening))
    check_engine(Beam(engine="flink", master=listening, **POOL))
    check_engine(Beam(engine="flink", args=[f"--job_endpoint={job_server}"], **POOL))
    check_engine(Beam(args=["--runner=PortableRunner", f"--job_endpoint={job_server}"]))
    check_engine(Beam(args=["--runner=PortableRunner", "--job_endpoint=embed"]))


def _message(beam: Beam) -> str:
    with pytest.raises(UserError) as error:
        check_engine(beam)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("engine", "title"),
    [("flink", "Flink's job manager"), ("spark", "Spark's master"), ("prism", "Prism's job")],
)
def test_a_master_that_does_not_answer_is_named_with_what_was_tried(closed, engine, title):
    text = _message(Beam(engine=engine, master=closed, **POOL))
    host, port = closed.split(":")
    assert text.startswith(
        f"beam.master: found {closed}, tried to connect to {host}, port {port}: Connection refused;"
        f" expected {title}"
    )


def test_a_job_endpoint_among_the_arguments_is_asked_too(closed, grpc_server):
    text = _message(Beam(engine="spark", args=[f"--job_endpoint={closed}"], **POOL))
    assert text.startswith(f"beam.args: found {closed}, tried to connect")
    text = _message(Beam(args=["--runner=PortableRunner", f"--job_endpoint={grpc_server}"]))
    assert "it is no Beam job server (UNIMPLEMENTED); expected a Beam job server" in text
    text = _message(Beam(args=["--job_endpoint=here"]))
    assert text == (
        "beam.args: --job_endpoint: expected a host and a port, such as localhost:8081, "
        "found 'here'"
    )


def test_a_worker_pool_of_prism_must_answer(job_server, closed):
    text = _message(Beam(engine="prism", master=job_server, worker_pool=closed))
    assert text.startswith(f"beam.worker_pool: found {closed}, tried to connect to")


def test_an_unknown_host_is_named():
    text = _message(Beam(engine="flink", master="no-such-host.invalid:8081", **POOL))
    assert "tried to connect to no-such-host.invalid, port 8081: " in text


@pytest.mark.parametrize("engine", ["flink", "spark"])
def test_without_java_a_job_server_must_run_already(java, job_server, listening, engine):
    java.unlink()
    text = _message(Beam(engine=engine, master=listening, **POOL))
    assert text.startswith(f"beam.engine: {engine} needs Beam's job server, but java")
    check_engine(Beam(engine=engine, args=[f"--job_endpoint={job_server}"], **POOL))
