"""Infers a schema that keeps rare columns as optional, and recognizes dates and booleans.

TFX's executor infers a schema from the first split and updates it with the others. It marks a
column without a value in one of them, as happens to rare columns in a small eval split, DEPRECATED,
which silently removes it from the model. Here only a column without a value in the train split is
excluded, as DISABLED.

Examples hold dates and times as text; a time domain marks the columns. Text that is `true` or
`false` in any spelling, such as pandas' `True`, is a boolean, even if a split has only one of them.
"""

import os
from collections.abc import Sequence

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.schema_gen import executor
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.types import Artifact, artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components.example_io import empty_columns
from components.tables import ingestion
from models.features import text_values


class Executor(executor.Executor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Infers the schema, keeps every column in it, and marks dates and booleans."""
        super().Do(input_dict, output_dict, exec_properties)
        uri = artifact_utils.get_single_uri(output_dict[standard_component_specs.SCHEMA_KEY])
        path = os.path.join(uri, executor.DEFAULT_FILE_NAME)
        schema = io_utils.SchemaReader().read(path)
        examples = artifact_utils.get_single_instance(
            input_dict[standard_component_specs.EXAMPLES_KEY]
        )
        dates = set(ingestion.report(examples.uri)["dates"])
        statistics = input_dict[standard_component_specs.STATISTICS_KEY]
        truths = _truths(statistics)
        for column in schema.feature:
            if column.name in truths and column.type == schema_pb2.BYTES:
                for domain in [
                    other for other in schema.string_domain if other.name == column.domain
                ]:
                    schema.string_domain.remove(domain)
                true, false = truths[column.name]
                column.bool_domain.true_value, column.bool_domain.false_value = true, false
            if column.name in dates and column.type == schema_pb2.BYTES:
                column.time_domain.string_format = "%Y-%m-%d"
            if column.lifecycle_stage == schema_pb2.DEPRECATED:
                column.ClearField("lifecycle_stage")
                column.ClearField("shape")
                column.presence.Clear()
        empty_columns.disable(schema.feature, statistics)
        io_utils.write_pbtxt_file(path, schema)


def _truths(statistics: Sequence[Artifact]) -> dict[str, tuple[str, str]]:
    """Returns the spelling of true and of false in columns that hold nothing else in any split."""
    artifact = artifact_utils.get_single_instance(list(statistics))
    texts: dict[str, set[str]] = {}
    for split in artifact_utils.decode_split_names(artifact.split_names):
        proto = stats_artifact_utils.load_statistics(artifact, split).proto()
        for column in (column for dataset in proto.datasets for column in dataset.features):
            ranks = column.string_stats.rank_histogram.buckets
            texts.setdefault(column.path.step[0], set()).update(rank.label for rank in ranks)
    spelled = {name: text_values.spelling_of_truths(values) for name, values in texts.items()}
    return {name: words for name, words in spelled.items() if words}
