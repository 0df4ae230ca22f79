"""Reads the anomalies of every split and fails if there are any."""

from etils import epath
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from models.errors import UserError

ANOMALIES = "anomalies"
_FILE_NAME = "SchemaDiff.pb"


class AnomaliesFound(UserError):
    """The data does not fit the schema; the message has one line for each anomaly."""


class Executor(base_executor.BaseExecutor):
    """See the module."""

    def Do(self, input_dict, output_dict, exec_properties):
        """Checks all splits.

        Raises:
            AnomaliesFound: at least one split does not fit the schema or has no examples.
        """
        artifact = artifact_utils.get_single_instance(input_dict[ANOMALIES])
        problems: dict[str, set[str]] = {}
        for split in artifact_utils.decode_split_names(artifact.split_names):
            path = epath.Path(artifact_utils.get_split_uris([artifact], split)[0]) / _FILE_NAME
            anomalies = anomalies_pb2.Anomalies.FromString(path.read_bytes())
            for column, info in anomalies.anomaly_info.items():
                for reason in info.reason:
                    text = reason.description.strip() or reason.short_description
                    problems.setdefault(f"column {column}: {text}", set()).add(split)
            if anomalies.HasField("dataset_anomaly_info"):
                problems.setdefault(anomalies.dataset_anomaly_info.description, set()).add(split)
            if anomalies.data_missing:
                problems.setdefault("no examples", set()).add(split)
        if problems:
            lines = [f"  {what} (split {', '.join(sorted(s))})" for what, s in problems.items()]
            raise AnomaliesFound(
                "the data does not fit the schema; fix the table, or the schema if it is wrong:"
                + "".join(f"\n{line}" for line in sorted(lines))
            )
