"""Tests of the service that starts and stops an engine's workers."""

from concurrent import futures

import grpc
import pytest
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from pipeline.beam import worker_pool


class Workers:
    """Stands in for the process that forks workers."""

    def __init__(self):
        self.calls = []

    def start(self, worker, address, on_end):
        self.calls.append(("start", worker, address))
        on_end(-9)

    def kill(self, worker):
        self.calls.append(("kill", worker))


@pytest.fixture
def workers():
    return Workers()


@pytest.fixture
def pool(workers):
    """Yields a client of a pool."""
    with futures.ThreadPoolExecutor() as threads:
        server = grpc.server(threads)
        beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(
            worker_pool.Pool(workers), server
        )
        port = server.add_insecure_port("localhost:0")
        server.start()
        with grpc.insecure_channel(f"localhost:{port}") as channel:
            yield beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolStub(channel)
        server.stop(None)


def test_workers_are_started_at_their_engine_and_stopped(pool, workers, capsys):
    request = beam_fn_api_pb2.StartWorkerRequest(worker_id="one")
    request.control_endpoint.url = "engine:1234"
    assert pool.StartWorker(request).error == ""
    pool.StopWorker(beam_fn_api_pb2.StopWorkerRequest(worker_id="one"))
    assert workers.calls == [("start", "one", "engine:1234"), ("kill", "one")]
    assert capsys.readouterr().out.splitlines() == [
        "worker one starts",
        "worker one ended with code -9",
    ]
