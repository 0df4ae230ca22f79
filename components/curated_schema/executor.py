"""Writes the curated schema to its artifact."""

import os

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from components.example_io import empty_columns


class Executor(base_executor.BaseExecutor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Writes the schema as the artifact's only file, with empty optional columns DISABLED."""
        schema = text_format.Parse(exec_properties["text"], schema_pb2.Schema())
        # Required columns are left to the DataGate.
        optional = [
            column
            for column in schema.feature
            if not column.presence.min_count and not column.presence.min_fraction
        ]
        empty_columns.disable(optional, input_dict["statistics"])
        uri = artifact_utils.get_single_uri(output_dict["schema"])
        io_utils.write_pbtxt_file(os.path.join(uri, "schema.pbtxt"), schema)
