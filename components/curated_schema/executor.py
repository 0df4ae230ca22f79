"""Writes the schema down."""

import os

from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils


class Executor(base_executor.BaseExecutor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Writes the text as the one file of the artifact."""
        uri = artifact_utils.get_single_uri(output_dict["schema"])
        io_utils.write_string_file(os.path.join(uri, "schema.pbtxt"), exec_properties["text"])
