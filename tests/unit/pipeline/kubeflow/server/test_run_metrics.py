import base64
import io
import tarfile

import pytest
from pipelines_server import argo

from pipeline.kubeflow.server import run_metrics


def test_metrics_are_read_from_the_archive():
    metrics = {"blessed": 0.0, "rmse": 1e5}
    assert run_metrics.read(argo.metrics_archive(metrics)) == metrics


def archive(text):
    """Returns an archive with a folder, and a file with the text."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folder, file = tarfile.TarInfo("folder"), tarfile.TarInfo("folder/file")
        folder.type, file.size = tarfile.DIRTYPE, len(text)
        tar.addfile(folder)
        tar.addfile(file, io.BytesIO(text.encode()))
    return base64.b64encode(buffer.getvalue()).decode()


def test_the_file_may_be_in_a_folder():
    text = '{"metrics": [{"name": "mae", "numberValue": "2.5", "format": "RAW"}]}'
    assert run_metrics.read(archive(text)) == {"mae": 2.5}


@pytest.mark.parametrize(
    "data",
    [
        "",
        "bm8gYXJjaGl2ZQ==",
        archive("no JSON"),
        archive("[]"),
        archive("{}"),
        archive('{"metrics": [{"name": "mae"}]}'),
        archive('{"metrics": [{"name": "mae", "numberValue": null}]}'),
    ],
)
def test_anything_else_is_refused(data):
    with pytest.raises(ValueError):
        run_metrics.read(data)


def test_only_nodes_with_metrics_have_written_some():
    nodes: list[dict] = [
        {"id": "a"},
        {"id": "b", "outputs": None},
        {"id": "c", "outputs": {"exitCode": "0"}},
        {"id": "d", "outputs": {"artifacts": [{"name": "main-logs"}]}},
        {"id": "e", "outputs": {"artifacts": [{"name": "x"}, {"name": "mlpipeline-metrics"}]}},
    ]
    assert run_metrics.writers(nodes) == ["e"]
