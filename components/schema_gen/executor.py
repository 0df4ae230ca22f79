"""Makes a column optional where TFX's executor would deprecate it, and a date what was one.

TFX's executor infers a schema from the first split and updates it by each other one; a column that
has no value in one of them, as a rare one may in a small eval split, is marked DEPRECATED then,
which takes it from the model without a word. One that has no value in the train split is DISABLED.

Examples hold days and times as text; the time domain says what they were.
"""

import os

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.schema_gen import executor
from tfx.types import artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components.examples import empty_columns
from components.tables import ingestion


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Infers the schema, keeps every column in it, and says which are dates."""
        super().Do(input_dict, output_dict, exec_properties)
        uri = artifact_utils.get_single_uri(output_dict[standard_component_specs.SCHEMA_KEY])
        path = os.path.join(uri, executor.DEFAULT_FILE_NAME)
        schema = io_utils.SchemaReader().read(path)
        examples = artifact_utils.get_single_instance(
            input_dict[standard_component_specs.EXAMPLES_KEY]
        )
        dates = set(ingestion.report(examples.uri)["dates"])
        for column in schema.feature:
            if column.name in dates and column.type == schema_pb2.BYTES:
                column.time_domain.string_format = "%Y-%m-%d"
            if column.lifecycle_stage == schema_pb2.DEPRECATED:
                column.ClearField("lifecycle_stage")
                column.ClearField("shape")
                column.presence.Clear()
        empty_columns.disable(schema.feature, input_dict[standard_component_specs.STATISTICS_KEY])
        io_utils.write_pbtxt_file(path, schema)
