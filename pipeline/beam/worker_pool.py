"""A pool of Beam workers for an engine, which starts them by forking.

    python -m pipeline.beam.worker_pool --port 50000

It takes the place of Beam's own pool, whose workers import TensorFlow and TFX anew for each step.
That costs seconds, and can end in a deadlock if an engine gives a new worker several bundles at
once, as Prism does: one thread imports TFX, which pickles functions while it is imported, and
another holds the lock of Beam's pickler and waits for the import.
"""

import argparse
import os
import signal
import threading
from concurrent import futures

# TensorFlow reads this once, on import; 2 hides all of its C++ messages below errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc

from pipeline.beam import fork_server


class Pool(beam_fn_api_pb2_grpc.BeamFnExternalWorkerPoolServicer):
    """Beam's service that starts and stops workers."""

    def __init__(self, workers: fork_server.ForkServer):
        self._workers = workers

    def StartWorker(self, request, context):  # noqa: D102 (Beam's)
        worker = request.worker_id
        print(f"worker {worker} starts", flush=True)

        def report(code: int) -> None:
            print(f"worker {worker} ended with code {code}", flush=True)

        self._workers.start(worker, request.control_endpoint.url, report)
        return beam_fn_api_pb2.StartWorkerResponse()

    def StopWorker(self, request, context):  # noqa: D102 (Beam's)
        self._workers.kill(request.worker_id)
        return beam_fn_api_pb2.StopWorkerResponse()


def main() -> None:
    """Serves until a signal ends the process, and with it all workers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="port to serve on")
    parser.add_argument("--host", default="localhost", help="address to serve on")
    arguments = parser.parse_args()
    import pipeline.graph.pipeline  # noqa: F401 (imports all that workers need)

    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *unused: over.set())
    workers = fork_server.ForkServer(frozenset(), is_together=False)
    server = grpc.server(futures.ThreadPoolExecutor())
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(Pool(workers), server)
    server.add_insecure_port(f"{arguments.host}:{arguments.port}")
    server.start()
    print(f"serving on {arguments.host}:{arguments.port}", flush=True)
    over.wait()
    server.stop(None)
    workers.close()


if __name__ == "__main__":
    main()
