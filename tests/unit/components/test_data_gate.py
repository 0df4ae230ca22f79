"""Tests of the gate on the anomalies that TFDV finds."""

import json
import pathlib

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2
from tfx.types import standard_artifacts
from tiny_model import artifact

from components.data_gate import executor

SCHEMA = """
feature { name: "rooms" type: INT presence { min_fraction: 1 } int_domain { min: 0 max: 9 } }
feature { name: "city" type: BYTES presence { min_fraction: 1 } string_domain { value: "Oslo" } }
"""
GOOD = pd.DataFrame({"rooms": [1, 2], "city": ["Oslo", "Oslo"]})


def anomalies(folder: pathlib.Path, **splits: pd.DataFrame) -> standard_artifacts.ExampleAnomalies:
    """Returns ExampleValidator's output for a table in each split."""
    made = artifact(standard_artifacts.ExampleAnomalies, folder, 1)
    made.split_names = json.dumps(list(splits))
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
    for split, table in splits.items():
        if len(table):
            statistics = tfdv.generate_statistics_from_dataframe(table, n_jobs=1)
        else:
            statistics = statistics_pb2.DatasetFeatureStatisticsList()
            statistics.datasets.add(num_examples=0)
        target = folder / f"Split-{split}" / "SchemaDiff.pb"
        target.parent.mkdir()
        target.write_bytes(tfdv.validate_statistics(statistics, schema).SerializeToString())
    return made


def run(made) -> None:
    executor.Executor().Do({"anomalies": [made]}, {}, {})


def test_only_data_that_fits_the_schema_passes(tmp_path):
    run(anomalies(tmp_path / "good", train=GOOD, eval=GOOD))
    with pytest.raises(executor.AnomaliesFound):
        run(anomalies(tmp_path / "bad", train=GOOD, eval=GOOD.assign(rooms=[1, 99])))


def test_anomalies_name_column_and_splits(tmp_path):
    bad_rooms = GOOD.assign(rooms=[1, 99])
    both = bad_rooms.assign(city=["Oslo", "Atlantis"], extra=[1.0, 2.0])
    with pytest.raises(executor.AnomaliesFound) as refusal:
        run(anomalies(tmp_path, train=bad_rooms, eval=both, test=GOOD))
    lines = str(refusal.value).splitlines()
    assert lines[0].startswith("the data does not fit the schema")
    by_column = {line.split(":")[0].strip(): line for line in lines[1:]}
    assert set(by_column) == {"column rooms", "column city", "column extra"}
    assert "(split eval, train)" in by_column["column rooms"]
    assert "Atlantis" in by_column["column city"] and "(split eval)" in by_column["column city"]


def test_a_missing_column_is_named(tmp_path):
    with pytest.raises(executor.AnomaliesFound, match="column city: .*(split train)"):
        run(anomalies(tmp_path, train=GOOD.drop(columns="city")))


def test_no_examples_are_an_anomaly(tmp_path):
    with pytest.raises(executor.AnomaliesFound, match=r"no examples \(split eval\)"):
        run(anomalies(tmp_path, train=GOOD, eval=GOOD[:0]))
