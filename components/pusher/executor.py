"""Copies a model so that a server never sees half of it.

TFX's own executor copies file by file into the version's directory, and skips a version that
exists; a push that was killed would leave half a model which the next push within the same second
takes for a whole one.
"""

import contextlib
import pathlib
import shutil
import time

import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from etils import epath
from tfx.components.pusher import executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils

from models.manifest import IDENTITY

_ABANDONED_AFTER = 24 * 3600
"""Seconds without a change after which a partial copy is what a killed push has left: until then
another run may be at it."""


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Pushes if blessed; the artifact records where to, or that nothing was pushed."""
        pushed = artifact_utils.get_single_instance(
            output_dict[standard_component_specs.PUSHED_MODEL_KEY]
        )
        if not self.CheckBlessing(input_dict):
            self._MarkNotPushed(pushed)
            return
        model = epath.Path(self.GetModelPath(input_dict))
        serving = epath.Path(exec_properties["directory"])
        version = deployed(model, serving) or deploy(model, serving)
        # The artifact keeps a copy, from which a deployment that was lost can be restored.
        io_utils.copy_dir(str(model), pushed.uri)
        self._MarkPushed(pushed, pushed_destination=str(version), pushed_version=version.name)


def deployed(model: epath.Path, serving: epath.Path) -> epath.Path | None:
    """The newest version below `serving`, if that is this model already.

    Two exports of one checkpoint differ in the bytes of their graphs; what they were made of does
    not. An export that does not say what it was made of is never known.
    """
    newest = max(_versions(serving), key=lambda path: int(path.name), default=None)
    if newest is None or not (newest / tf.saved_model.SAVED_MODEL_FILENAME_PB).exists():
        return None
    ours, theirs = (_identity(export) for export in (model, newest))
    return newest if ours is not None and ours == theirs else None


def _identity(export: epath.Path) -> str | None:
    file = export / "assets.extra" / IDENTITY
    return file.read_text() if file.exists() else None


def _versions(serving: epath.Path) -> list[epath.Path]:
    if not serving.exists():
        return []
    return [path for path in serving.iterdir() if path.name.isdigit()]


def deploy(model: epath.Path, serving: epath.Path) -> epath.Path:
    """Copies an exported model to a new version below `serving`, seen whole or not at all.

    The version is the time in seconds, or one above the highest one there if that is not later.
    """
    serving.mkdir(parents=True, exist_ok=True)
    above = [int(path.name) + 1 for path in _versions(serving)]
    version = serving / str(max(int(time.time()), *above, 0))
    if FileSystems.get_scheme(str(serving)) is None:
        _copy_beside(model, version)
    else:
        _copy_graph_last(model, version)
    return version


def _copy_beside(model: epath.Path, version: epath.Path) -> None:
    """On a disk: TensorFlow Serving looks only at directories whose names are numbers."""
    for left in pathlib.Path(version.parent).glob(".*.partial"):
        with contextlib.suppress(FileNotFoundError):  # another run has just ended its own
            if time.time() - left.stat().st_mtime > _ABANDONED_AFTER:
                shutil.rmtree(left)
    partial = version.with_name(f".{version.name}.partial")
    io_utils.copy_dir(str(model), str(partial))
    partial.rename(version)


def _copy_graph_last(model: epath.Path, version: epath.Path) -> None:
    """In an object store, where a directory is renamed file by file: nothing loads without graph.

    A push that was killed leaves a version without one, and the next push a higher version.
    """
    graph = tf.saved_model.SAVED_MODEL_FILENAME_PB
    io_utils.copy_dir(str(model), str(version), deny_regex_patterns=[f"/{graph}$"])
    (model / graph).copy(version / graph)
