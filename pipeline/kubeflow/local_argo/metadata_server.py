"""ML Metadata's gRPC service on a SQLite file, in place of a cluster's metadata store.

The service's binary is only published in images. The Python package contains the same C++ store,
which takes and returns the service's messages as bytes. It lacks three of the service's 52 calls,
none of which TFX makes; gRPC answers them with UNIMPLEMENTED.
"""

import contextlib
import pathlib
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
from ml_metadata.metadata_store.pywrap.metadata_store_extension import metadata_store as store
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

from pipeline.storage.metadata_store import LockedError, wait_until_free

_SERVICE = metadata_store_service_pb2.DESCRIPTOR.services_by_name["MetadataStoreService"]
_STATUS = {code.value[0]: code for code in grpc.StatusCode}


@contextlib.contextmanager
def serving(file: pathlib.Path) -> Iterator[int]:
    """Context manager: serves the store until it exits.

    Args:
        file: the SQLite file; created if missing.

    Yields:
        The port on the loopback address.
    """
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    config.sqlite.connection_mode = config.sqlite.READWRITE_OPENCREATE
    database = store.CreateMetadataStore(
        config.SerializeToString(), metadata_store_pb2.MigrationOptions().SerializeToString()
    )
    # SQLite allows one writer at a time, and the store has a single connection.
    lock = threading.Lock()
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            _answer(getattr(store, method.name), database, lock, file)
        )
        for method in _SERVICE.methods
        if hasattr(store, method.name)
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler(_SERVICE.full_name, handlers),)
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(grace=None).wait()


def _answer(call: Callable, database, lock: threading.Lock, file: pathlib.Path) -> Callable:
    def answer(request: bytes, context: grpc.ServicerContext) -> bytes:
        with lock:
            try:
                wait_until_free(file)
            except LockedError as error:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            response, message, code = call(database, request)
        if code:
            context.abort(_STATUS[code], _text(message))
        return response

    return answer


def _text(message: bytes | str) -> str:
    return message.decode(errors="replace") if isinstance(message, bytes) else message
