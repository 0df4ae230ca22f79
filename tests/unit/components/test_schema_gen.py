"""A schema inferred over splits of which one lacks a column's values."""

import pathlib

import pandas as pd
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.components.statistics_gen import executor as statistics_gen
from tfx.types import artifact_utils, standard_artifacts

from components.schema_gen.executor import Executor


def statistics_artifact(folder: pathlib.Path, splits: dict[str, pd.DataFrame]):
    artifact = standard_artifacts.ExampleStatistics()
    artifact.uri = str(folder / "statistics")
    artifact.split_names = artifact_utils.encode_split_names(list(splits))
    for split, table in splits.items():
        found = tfdv.generate_statistics_from_dataframe(table)
        path = pathlib.Path(artifact.uri) / f"Split-{split}" / statistics_gen.DEFAULT_FILE_NAME
        path.parent.mkdir(parents=True)
        path.write_bytes(statistics_pb2.DatasetFeatureStatisticsList.SerializeToString(found))
    return artifact


def test_a_column_without_values_in_one_split_becomes_optional(tmp_path):
    train = pd.DataFrame({"rare": [1.0, 2.0, 3.0], "size": [1, 2, 3]})
    statistics = statistics_artifact(tmp_path, {"train": train, "eval": train[["size"]]})
    schema = standard_artifacts.Schema()
    schema.uri = str(tmp_path / "schema")
    pathlib.Path(schema.uri).mkdir()
    Executor().Do({"statistics": [statistics]}, {"schema": [schema]}, {"infer_feature_shape": 1})

    (file,) = pathlib.Path(schema.uri).iterdir()
    columns = {column.name: column for column in tfdv.load_schema_text(str(file)).feature}
    assert columns["rare"].lifecycle_stage != schema_pb2.DEPRECATED
    assert columns["rare"].type == schema_pb2.FLOAT
    assert not columns["rare"].HasField("shape")
    assert columns["size"].shape.dim[0].size == 1
