"""Tests of the metadata service with ML Metadata's own client."""

import pathlib
import subprocess
import sys
import threading

import grpc
import pytest
from ml_metadata import errors, metadata_store
from ml_metadata.proto import (
    metadata_store_pb2,
    metadata_store_service_pb2,
    metadata_store_service_pb2_grpc,
)

from pipeline.kubeflow.local_argo import metadata_server
from pipeline.storage import metadata_store as stores


def client(port: int) -> metadata_store.MetadataStore:
    config = metadata_store_pb2.MetadataStoreClientConfig(host="127.0.0.1", port=port)
    return metadata_store.MetadataStore(config)


@pytest.fixture
def port(tmp_path):
    with metadata_server.serving(tmp_path / "metadata.sqlite") as port:
        yield port


def test_stored_values_are_read_back_also_from_the_file(tmp_path):
    file = tmp_path / "metadata.sqlite"
    with metadata_server.serving(file) as port:
        store = client(port)
        kind = metadata_store_pb2.ArtifactType(name="Model")
        kind.properties["version"] = metadata_store_pb2.INT
        type_id = store.put_artifact_type(kind)
        model = metadata_store_pb2.Artifact(type_id=type_id, uri="/models/1")
        model.properties["version"].int_value = 3
        model.custom_properties["pushed"].string_value = "Größe"
        (model_id,) = store.put_artifacts([model])
        (over_the_wire,) = store.get_artifacts_by_id([model_id])
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    (in_the_file,) = metadata_store.MetadataStore(config).get_artifacts_by_id([model_id])
    assert over_the_wire == in_the_file
    assert over_the_wire.custom_properties["pushed"].string_value == "Größe"


def test_errors_of_the_store_are_passed_on(port):
    with pytest.raises(errors.NotFoundError, match="No type found"):
        client(port).get_artifact_type("Nothing")
    with pytest.raises(errors.InvalidArgumentError):
        client(port).put_artifacts([metadata_store_pb2.Artifact(uri="/no/type")])


def test_a_locked_file_is_an_error_after_a_while(tmp_path, monkeypatch):
    monkeypatch.setattr(stores, "LONGEST_WAIT", 0.2)
    file = tmp_path / "metadata.sqlite"
    hold = (
        "import sqlite3, sys; store = sqlite3.connect(sys.argv[1]); "
        "store.execute('BEGIN EXCLUSIVE'); print(flush=True); sys.stdin.read()"
    )
    with metadata_server.serving(file) as port:
        store = client(port)
        command = [sys.executable, "-c", hold, str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            assert holder.stdout and holder.stdout.readline()
            with pytest.raises(errors.FailedPreconditionError, match="has locked the metadata"):
                store.get_artifacts()
            holder.communicate()
        assert store.get_artifacts() == []


def test_calls_that_the_library_lacks_are_not_implemented(port):
    stub = metadata_store_service_pb2_grpc.MetadataStoreServiceStub(
        grpc.insecure_channel(f"127.0.0.1:{port}")
    )
    with pytest.raises(grpc.RpcError) as error:
        stub.GetLineageGraph(metadata_store_service_pb2.GetLineageGraphRequest())
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_clients_may_write_in_parallel(port):
    store = client(port)
    type_id = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))

    def put(index_of_client: int) -> None:
        store = client(port)
        for index in range(20):
            uri = str(pathlib.Path(f"/{index_of_client}/{index}"))
            store.put_artifacts([metadata_store_pb2.Artifact(type_id=type_id, uri=uri)])

    threads = [
        threading.Thread(target=put, args=(index_of_client,)) for index_of_client in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({artifact.uri for artifact in store.get_artifacts()}) == 160


def test_the_port_is_closed_afterwards(tmp_path):
    with metadata_server.serving(tmp_path / "metadata.sqlite") as port:
        pass
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    with pytest.raises(grpc.FutureTimeoutError):
        grpc.channel_ready_future(channel).result(timeout=0.5)
