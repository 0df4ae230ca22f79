"""Columns without a value in the train split, from which no model can learn."""

from collections.abc import Sequence

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.components.statistics_gen import stats_artifact_utils
from tfx.types import Artifact, artifact_utils


def disable(columns: Sequence[schema_pb2.Feature], statistics: Sequence[Artifact]) -> None:
    """Sets the stage of empty columns to DISABLED, see `models.features.features.resolve`.

    Args:
        columns: the columns to check, changed in place.
        statistics: the statistics artifact, with a `train` split.
    """
    artifact = artifact_utils.get_single_instance(list(statistics))
    train_statistics = stats_artifact_utils.load_statistics(artifact, "train").proto()
    in_train = {
        column.path.step[0]: column
        for dataset in train_statistics.datasets
        for column in dataset.features
    }
    for column in columns:
        if column.name not in in_train or _is_empty(in_train[column.name]):
            column.lifecycle_stage = schema_pb2.DISABLED


def _is_empty(column: statistics_pb2.FeatureNameStatistics) -> bool:
    if column.WhichOneof("stats") == "num_stats":
        histograms = column.num_stats.histograms
        missing = histograms[0].num_nan if histograms else 0
        return column.num_stats.common_stats.tot_num_values <= missing
    # Empty text counts as missing.
    return not column.string_stats.avg_length and not column.bytes_stats.avg_num_bytes
