"""Copies beside the serving directory, then renames: a server never sees half a model.

TFX's own executor copies file by file into the version's directory, and skips a version that
exists; a push that was killed would leave half a model which the next push within the same second
takes for a whole one.
"""

import os
import pathlib
import shutil
import time

from tfx.components.pusher import executor
from tfx.types import artifact_utils, standard_component_specs


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
        model = pathlib.Path(self.GetModelPath(input_dict))
        version = deploy(model, pathlib.Path(exec_properties["directory"]))
        # The artifact keeps a copy, from which a deployment that was lost can be restored.
        shutil.copytree(model, pushed.uri, dirs_exist_ok=True)
        self._MarkPushed(pushed, pushed_destination=str(version), pushed_version=version.name)


def deploy(model: pathlib.Path, serving: pathlib.Path) -> pathlib.Path:
    """Copies an exported model to a new version below `serving`, whole or not at all.

    The version is the time in seconds, or one above the highest one there if that is not later.
    """
    serving.mkdir(parents=True, exist_ok=True)
    versions = [int(path.name) for path in serving.iterdir() if path.name.isdigit()]
    version = max(int(time.time()), *(there + 1 for there in versions), 0)
    # TensorFlow Serving looks only at directories whose names are numbers.
    partial = serving / f".{version}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(model, partial)
    os.rename(partial, serving / str(version))
    return serving / str(version)
