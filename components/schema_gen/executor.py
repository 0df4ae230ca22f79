"""Makes a column optional where TFX's executor would deprecate it, and a date what was one.

TFX's executor infers a schema from the first split and updates it by each other one; a column that
has no value in one of them, as a rare one may in a small eval split, is marked DEPRECATED then,
which takes it from the model without a word. One that has no value in the train split is DISABLED.

Examples hold days and times as text; the time domain says what they were. Text that is `true` or
`false` is a boolean in every spelling, pandas' `True` too, and whether or not each split has both.
"""

import os
from collections.abc import Sequence

from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.components.schema_gen import executor
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.types import Artifact, artifact_utils, standard_component_specs
from tfx.utils import io_utils

from components.examples import empty_columns
from components.tables import ingestion
from models import values


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
        statistics = input_dict[standard_component_specs.STATISTICS_KEY]
        truths = _truths(statistics)
        for column in schema.feature:
            if column.name in truths and column.type == schema_pb2.BYTES:
                for domain in [own for own in schema.string_domain if own.name == column.domain]:
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
    """How columns that are true or false in all splits write it."""
    artifact = artifact_utils.get_single_instance(list(statistics))
    texts: dict[str, set[str]] = {}
    for split in artifact_utils.decode_split_names(artifact.split_names):
        found = stats_artifact_utils.load_statistics(artifact, split).proto()
        for column in (column for dataset in found.datasets for column in dataset.features):
            ranks = column.string_stats.rank_histogram.buckets
            texts.setdefault(column.path.step[0], set()).update(rank.label for rank in ranks)
    spelled = {name: values.spelling_of_truths(own) for name, own in texts.items()}
    return {name: words for name, words in spelled.items() if words}
