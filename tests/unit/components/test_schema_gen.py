"""Tests of the schema that is inferred from several splits and from the table's own values."""

import json
import pathlib

import numpy as np
import pandas as pd
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.components.statistics_gen import executor as statistics_gen
from tfx.types import artifact_utils, standard_artifacts

from components.curated_schema import executor as curated_schema
from components.schema_gen.executor import Executor
from components.tables import ingestion
from models.features import features
from tests.helpers.column_builder import column_settings


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


def inferred(folder: pathlib.Path, splits, dates=()) -> schema_pb2.Schema:
    statistics = statistics_artifact(folder, splits)
    examples = standard_artifacts.Examples()
    examples.uri = str(folder / "examples")
    pathlib.Path(examples.uri).mkdir()
    report = {"dates": list(dates)}
    (pathlib.Path(examples.uri) / ingestion.REPORT_FILE).write_text(json.dumps(report))
    schema = standard_artifacts.Schema()
    schema.uri = str(folder / "schema")
    pathlib.Path(schema.uri).mkdir()
    Executor().Do(
        {"statistics": [statistics], "examples": [examples]},
        {"schema": [schema]},
        {"infer_feature_shape": 1},
    )
    (file,) = pathlib.Path(schema.uri).iterdir()
    return tfdv.load_schema_text(str(file))


def test_a_column_without_values_in_one_split_becomes_optional(tmp_path):
    train = pd.DataFrame({"rare": [1.0, 2.0, 3.0], "size": [1, 2, 3]})
    schema = inferred(tmp_path, {"train": train, "eval": train[["size"]]})
    columns = {column.name: column for column in schema.feature}
    assert columns["rare"].lifecycle_stage != schema_pb2.DEPRECATED
    assert columns["rare"].type == schema_pb2.FLOAT
    assert not columns["rare"].HasField("shape")
    assert columns["size"].shape.dim[0].size == 1


def test_days_in_the_table_become_dates(tmp_path):
    days = ["2014-10-13", "2014-10-14 08:30:00.000", "2014-10-13"]
    table = pd.DataFrame({"sold": days, "text": days, "size": [1, 2, 3]})
    schema = inferred(tmp_path, {"train": table, "eval": table[:2]}, dates=["sold"])
    kinds = {
        feature.name: feature.kind
        for feature in features.resolve(schema, column_settings({"size": "regression"}))
    }
    assert kinds == {"sold": features.DATE, "text": features.CATEGORICAL}
    statistics = tfdv.generate_statistics_from_dataframe(table.assign(sold="2020-02-03"))
    assert not tfdv.validate_statistics(statistics, schema).anomaly_info


def test_true_and_false_in_any_spelling_become_booleans(tmp_path):
    train = pd.DataFrame(
        {
            "spark": ["true", "false", "true"],
            "pandas": ["True", "False", "True"],
            "excel": ["TRUE", "FALSE", "TRUE"],
            "gaps": ["True", None, "False"],
            "alone": ["False"] * 3,
            "late": ["true"] * 3,
            "both": ["True", "true", "False"],
            "words": ["True", "False", "unknown"],
            "title": ["True", "False", "True"],
        }
    )
    test = train.assign(late=["false"] * 3, title=["n/a"] * 3)
    schema = inferred(tmp_path, {"train": train, "test": test})
    columns = {column.name: column for column in schema.feature}
    words = {
        name: (column.bool_domain.true_value, column.bool_domain.false_value)
        for name, column in columns.items()
        if column.HasField("bool_domain")
    }
    assert words == {
        "spark": ("true", "false"),
        "pandas": ("True", "False"),
        "excel": ("TRUE", "FALSE"),
        "gaps": ("True", "False"),
        "alone": ("True", "False"),
        "late": ("true", "false"),
    }
    assert {domain.name for domain in schema.string_domain} == {"both", "words", "title"}
    kinds = {
        feature.name: (feature.kind, feature.true_value)
        for feature in features.resolve(schema, column_settings({"both": "regression"}))
    }
    assert kinds == {
        **dict.fromkeys(words, (features.BOOLEAN, "")),
        **dict.fromkeys(["words", "title"], (features.CATEGORICAL, "")),
    }
    for table in (train, test):
        statistics = tfdv.generate_statistics_from_dataframe(table)
        assert not tfdv.validate_statistics(statistics, schema).anomaly_info


EMPTY = {
    "nan": [float("nan")] * 3,
    "none": [None] * 3,
    "text": [""] * 3,
    "lists": [np.array([], np.float32)] * 3,
}


def disabled(schema: schema_pb2.Schema) -> set[str]:
    return {c.name for c in schema.feature if c.lifecycle_stage == schema_pb2.DISABLED}


def test_columns_without_a_value_in_the_train_split_are_disabled(tmp_path):
    train = pd.DataFrame({"zero": [0, 0, 0], "word": ["a", "", ""], **EMPTY})
    test = train.assign(late=[1, 2, 3], nan=[1.5, 2.5, 3.5])
    schema = inferred(tmp_path, {"train": train, "test": test})
    assert disabled(schema) == {column.name for column in schema.feature} - {"zero", "word"}
    assert disabled(schema) >= {"nan", "text", "late"}


def test_a_curated_schema_decides_which_columns_may_be_empty(tmp_path):
    text = """feature { name: "zero" type: INT } feature { name: "nan" type: FLOAT }
        feature { name: "late" type: INT }
        feature { name: "text" type: BYTES presence { min_fraction: 1 min_count: 1 } }"""
    table = pd.DataFrame({"zero": [0, 0, 0], **EMPTY})
    statistics = statistics_artifact(tmp_path, {"train": table})
    schema = standard_artifacts.Schema()
    schema.uri = str(tmp_path)
    curated_schema.Executor().Do({"statistics": [statistics]}, {"schema": [schema]}, {"text": text})
    written = tfdv.load_schema_text(str(tmp_path / "schema.pbtxt"))
    assert disabled(written) == {"nan", "late"}
