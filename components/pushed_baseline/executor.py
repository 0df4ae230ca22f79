"""Copies the newest deployed version: the one there may be replaced while it is compared with."""

import tensorflow as tf
from etils import epath
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils, path_utils

DIRECTORY = "directory"
MODEL = "model"
VERSION = "pushed_version"
"""The artifact's custom property, as the Pusher's artifact has it."""


class Executor(base_executor.BaseExecutor):
    """See the component."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Copies the newest version, if there is one."""
        model = artifact_utils.get_single_instance(output_dict[MODEL])
        version = newest(epath.Path(exec_properties[DIRECTORY]))
        if version is None:
            return
        copy = path_utils.serving_model_dir(model.uri)
        # A step that was killed and is tried again finds what it had copied, and this replaces it.
        io_utils.copy_dir(str(version), copy)
        model.set_string_custom_property(VERSION, version.name)


def newest(serving: epath.Path) -> epath.Path | None:
    """The version with the highest number; the Pusher's unfinished copies lack it or the graph."""
    if not serving.is_dir():
        return None
    versions = [path for path in serving.iterdir() if path.name.isdigit()]
    whole = (path for path in versions if (path / tf.saved_model.SAVED_MODEL_FILENAME_PB).exists())
    return max(whole, key=lambda path: int(path.name), default=None)
