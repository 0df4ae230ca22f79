"""Tests that an artifact with missing or changed files is not taken from the cache."""

import pathlib
import shutil

import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration import metadata
from tfx.orchestration.portable import cache_utils, execution_publish_utils
from tfx.orchestration.portable.mlmd import context_lib
from tfx.proto.orchestration import execution_result_pb2
from tfx.types import standard_artifacts

from pipeline.storage import output_files


class Cache:
    """The cache of one step, whose executions write two splits."""

    def __init__(self, store: metadata.Metadata, folder: pathlib.Path):
        self.store, self.folder = store, folder
        self.context = context_lib.register_context_if_not_exists(store, "execution_cache", "key")

    def execute(self, record: bool = True) -> pathlib.Path:
        """Writes and publishes the outputs of a new execution; returns their folder."""
        step = metadata_store_pb2.ExecutionType(name="Step")
        execution = execution_publish_utils.register_execution(self.store, step, [self.context])
        examples = standard_artifacts.Examples()
        examples.uri = str(self.folder / str(execution.id))
        for split in ("train", "eval"):
            file = pathlib.Path(examples.uri, f"Split-{split}", "data.gz")
            file.parent.mkdir(parents=True)
            file.write_text(split)
        outputs = {"examples": [examples]}
        result = execution_result_pb2.ExecutorOutput()
        if record:
            digest = output_files.digest_of(outputs)
            result.execution_properties[output_files.RECORD].string_value = digest
        execution_publish_utils.publish_succeeded_execution(
            self.store, execution.id, [self.context], outputs, result
        )
        return pathlib.Path(examples.uri)

    def answer(self) -> pathlib.Path | None:
        """Publishes the cache's answer as a cached execution, as TFX does; returns its folder."""
        outputs = cache_utils.get_cached_outputs(self.store, self.context)
        if outputs is None:
            return None
        step = metadata_store_pb2.ExecutionType(name="Step")
        execution = execution_publish_utils.register_execution(self.store, step, [self.context])
        execution_publish_utils.publish_cached_executions(
            self.store, [self.context], [execution], [outputs]
        )
        return pathlib.Path(outputs["examples"][0].uri)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(cache_utils, "_get_outputs_of_execution", output_files.outputs_of)
    config = metadata.sqlite_metadata_connection_config(str(tmp_path / "metadata.sqlite"))
    with metadata.Metadata(config) as store:
        yield Cache(store, tmp_path / "examples")


def empty(folder: pathlib.Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


@pytest.mark.parametrize(
    "spoil",
    [
        shutil.rmtree,
        empty,
        lambda folder: shutil.rmtree(folder / "Split-eval"),
        lambda folder: (folder / "Split-eval" / "data.gz").unlink(),
        lambda folder: (folder / "Split-eval" / "data.gz").write_text(""),
    ],
    ids=["removed", "emptied", "split removed", "file removed", "file emptied"],
)
def test_a_step_whose_files_are_gone_runs_again(cache, spoil):
    first = cache.execute()
    assert cache.answer() == first
    (first / ".nfs0001").touch()
    assert cache.answer() == first, "a cached execution does not stand before the one that wrote"
    spoil(first)
    assert cache.answer() is None
    second = cache.execute()
    assert cache.answer() == second
    spoil(second)
    assert cache.answer() is None


def test_an_earlier_execution_replaces_one_with_damaged_outputs(cache):
    first, second = cache.execute(), cache.execute()
    shutil.rmtree(second / "Split-eval")
    assert cache.answer() == first


def test_outputs_without_a_record_are_used(cache):
    assert cache.answer() is None
    first = cache.execute(record=False)
    assert cache.answer() == first
