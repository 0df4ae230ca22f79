"""Keeps TFX's cache from answering with outputs whose files are missing.

TFX takes an output from the cache if its folder exists, even if that is empty. This module records
the names and sizes of an output's files with the execution that wrote them, and compares them
before the output is taken from the cache.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from absl import logging
from etils import epath
from ml_metadata.proto import metadata_store_pb2
from tfx.orchestration.portable import cache_utils, launcher
from tfx.types import Artifact

RECORD = "output_files"
"""Custom property of an execution: a digest of its output files."""

_outputs_of: Callable = cache_utils._get_outputs_of_execution


class Launcher(launcher.Launcher):
    """Launcher that records the files of a step's outputs and makes the cache check them."""

    def launch(self):
        """Runs the node; see `tfx.orchestration.portable.launcher.Launcher.launch`."""
        # TFX has no hook between finding a cached execution and using its outputs.
        setattr(cache_utils, "_get_outputs_of_execution", outputs_of)  # noqa: B010
        return super().launch()

    def _run_executor(self, execution_info):
        output = super()._run_executor(execution_info)
        digest = digest_of(execution_info.output_dict)
        output.execution_properties[RECORD].string_value = digest
        return output


def outputs_of(metadata_handle, execution_id: int) -> Mapping[str, list[Artifact]] | None:
    """Returns the outputs of an earlier execution; None if their files changed since."""
    outputs = _outputs_of(metadata_handle, execution_id)
    (execution,) = metadata_handle.store.get_executions_by_id([execution_id])
    if execution.last_known_state == metadata_store_pb2.Execution.CACHED:
        return None  # the cache also tries the execution that wrote them
    recorded = execution.custom_properties[RECORD].string_value
    if outputs is None or not recorded or digest_of(outputs) == recorded:
        return outputs
    logging.warning("Files of execution %d are gone or were changed: it runs again", execution_id)
    return None


def digest_of(outputs: Mapping[str, Sequence[Artifact]]) -> str:
    """Returns the SHA-256 of the names and sizes of all files of a step's outputs."""
    digest = hashlib.sha256()
    for key in sorted(outputs):
        for index, artifact in enumerate(outputs[key]):
            for name, size in sorted(_files(epath.Path(artifact.uri))):
                digest.update(f"{key}/{index}/{name}\0{size}\0".encode())
    return digest.hexdigest()


def _files(folder: epath.Path) -> Iterator[tuple[str, int]]:
    """Yields names and sizes of files below a folder; hidden ones belong to tools or NFS."""
    for parent, _, names in folder.walk():
        for name in names:
            if name and not name.startswith("."):
                path = parent / name
                yield str(path.relative_to(folder)), path.stat().length
