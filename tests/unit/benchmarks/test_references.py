"""Tests that reference models see the same numbers as our models, and that each of them learns."""

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from benchmarks import reference_data, references
from benchmarks.reference_data import ReferenceData
from models.features import features
from models.features.label import Label
from tests.helpers.column_builder import column_settings

REQUIRED = "presence { min_fraction: 1 } shape { dim { size: 1 } }"
SCHEMA = f"""
feature {{ name: "area" type: FLOAT {REQUIRED} }}
feature {{ name: "rooms" type: INT value_count {{ max: 1 }} }}
feature {{ name: "quality" type: BYTES value_count {{ max: 1 }} }}
feature {{ name: "street" type: BYTES value_count {{ max: 1 }} }}
feature {{ name: "new" type: BYTES bool_domain {{ true_value: "Y" false_value: "N" }} {REQUIRED} }}
feature {{ name: "sold" type: BYTES time_domain {{ string_format: "%Y-%m-%d" }} {REQUIRED} }}
feature {{ name: "price" type: FLOAT {REQUIRED} }}
feature {{ name: "dear" type: BYTES {REQUIRED} }}
"""
SETTINGS = column_settings(
    {"price": "regression", "dear": "binary"},
    {"quality": {"kind": "ordinal", "order": ["Po", "TA", "Ex"]}},
    derived={"per_room": "log1p(area) / rooms"},
)


def rows(count: int, seed: int) -> list[dict]:
    rng = np.random.default_rng(seed)
    table = []
    for _ in range(count):
        area, quality = float(rng.uniform(50, 200)), str(rng.choice(["Po", "TA", "Ex"]))
        price = area * {"Po": 1, "TA": 2, "Ex": 3}[quality] * rng.lognormal(0, 0.1)
        row = {"area": area, "quality": quality, "price": float(price), "new": "N"}
        row |= {"rooms": int(rng.integers(1, 6)), "street": str(rng.choice(["a", "b"]))}
        table.append(row | {"sold": "2014-10-13", "dear": "yes" if price > 250 else "no"})
    return table


def write(path, table: list[dict]) -> list[str]:
    def feature(value):
        if isinstance(value, str):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for row in table:
            known = {name: feature(value) for name, value in row.items() if value is not None}
            example = tf.train.Example(features=tf.train.Features(feature=known))
            writer.write(example.SerializeToString())
    return [str(path)]


def read(folder, label: Label, **tables: list[dict]) -> ReferenceData:
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
    files = {split: write(folder / split, table) for split, table in tables.items()}
    return reference_data.read(files, schema, features.resolve(schema, SETTINGS), label)


def test_columns_become_numbers_and_categories_as_for_our_models(tmp_path):
    strange = {"area": 0.0, "rooms": 0, "quality": "??", "street": "c", "new": "Y", "price": 1.0}
    strange |= {"sold": "2000-02-30", "dear": "no"}
    empty = {**strange, "rooms": None, "quality": None, "street": None, "sold": "1970-01-02"}
    data = read(
        tmp_path,
        Label("price", "regression", log=True),
        train=rows(20, 0),
        eval=rows(5, 1),
        test=[strange, empty],
    )
    test = data.features["test"]
    assert data.categories == ["street"]
    assert list(data.features["train"]) == list(test)
    assert test["new"].tolist() == [1, 1]
    # Not in the order, not in the train split, not a date, 0 / 0: all are missing.
    assert test[["quality", "street", "per_room"]].isna().all(axis=None)
    assert test["rooms"].isna().tolist() == [False, True]
    assert test["sold"].isna().tolist() == [True, False]
    assert test.loc[1, ["sold", "sold_of_year", "sold_of_week"]].tolist() == [1, 1, 4]
    assert data.targets["test"] == pytest.approx(np.log(2))
    assert set(data.features["train"]["quality"]) == {0, 1, 2}
    first = data.features["train"].iloc[0]
    assert first["per_room"] == pytest.approx(np.log1p(first["area"]) / first["rooms"])


@pytest.mark.parametrize("task", ["regression", "binary"])
@pytest.mark.parametrize("name", references.REFERENCES)
def test_each_reference_beats_the_constant(name, task, tmp_path, monkeypatch):
    monkeypatch.setattr(references, "LIGHTGBM_SETTINGS", references.LIGHTGBM_SETTINGS[1:3])
    monkeypatch.setattr(references, "CATBOOST_SETTINGS", references.CATBOOST_SETTINGS[:1])
    label = Label("price", task, log=True)
    if task == "binary":
        label = Label("dear", task, classes=("no", "yes"))
    data = read(tmp_path, label, train=rows(300, 0), eval=rows(100, 1), test=rows(100, 2))
    scores = references.REFERENCES[name](data, 0, 1).scores
    constant = references.constant(data, 0, 1).scores
    assert list(scores) == list(constant)
    for metric, value in scores.items():
        limit = constant[metric] * (1 if name == "constant" else 0.6)
        assert 0 <= value <= limit


def test_scores_follow_the_textbook():
    labels, predictions = np.array([1.0, 3.0]), np.array([2.0, -1.0])
    scores = references.score("regression", labels, predictions)
    assert scores["rmse"] == pytest.approx(np.sqrt((1 + 16) / 2))
    assert scores["mae"] == pytest.approx(2.5)
    logs = [np.log(3 / 2), np.log(1 / 4)]
    assert scores["rmsle"] == pytest.approx(np.sqrt(np.mean(np.square(logs))))
    scores = references.score("binary", np.array([0.0, 0, 1, 1]), np.array([0.1, 0.6, 0.4, 0.9]))
    assert scores["1-auc"] == pytest.approx(0.25)
    assert scores["1-accuracy"] == pytest.approx(0.5)
    assert scores["log_loss"] == pytest.approx(-np.mean(np.log([0.9, 0.4, 0.4, 0.9])))
