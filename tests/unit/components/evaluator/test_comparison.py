"""Tests of when a deployed model can be a candidate's baseline."""

import dataclasses
import json

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.evaluator import comparison
from models.features import label as label_lib
from models.features.export_inputs import Input
from models.features.label import Label

PRICE = Label("price", "regression", True, 200.0, 100.0, 5.1, 0.6, 180.0)
RENT = Label("rent/m2", "regression", False, 10.0, 5.0, 2.3, 0.4, 9.0)
ANSWER = Label("answer", "binary", classes=("no", "yes"), frequencies=(0.6, 0.4))
GRADE = Label("grade", "multiclass", classes=("9", "10", "11"), frequencies=(0.2, 0.5, 0.3))

REQUIRED = "presence { min_fraction: 1 } shape { dim { size: 1 } }"
SCHEMA = f"""
feature {{ name: "area" type: FLOAT {REQUIRED} }}
feature {{ name: "age" type: INT }}
feature {{ name: "window" type: FLOAT value_count {{ min: 1 }} }}
feature {{ name: "counts" type: INT {REQUIRED.replace("size: 1", "size: 3")} }}
"""


@pytest.mark.parametrize(
    ("column", "problem"),
    [
        (Input("area", "numbers", False), ""),
        (Input("area", "numbers", True), ""),
        (
            Input("area", "whole numbers", False),
            "reads whole numbers in the column area, which has numbers now",
        ),
        (Input("area", "text", True), "reads text in the column area, which has numbers now"),
        (
            Input("gone", "numbers", True),
            "reads the column gone, which no longer exists",
        ),
        (Input("age", "whole numbers", True), ""),
        (
            Input("age", "whole numbers", False),
            "needs a value of the column age in every row, which may be missing now",
        ),
        (Input("window", "numbers", True, sequence=True), ""),
        (
            Input("window", "numbers", True),
            "reads single values in the column window, which has lists now",
        ),
        (Input("counts", "whole numbers", False, sequence=True, length=3), ""),
        (
            Input("counts", "whole numbers", False, sequence=True, length=2),
            "reads lists of 2 values in the column counts, which has lists of 3 now",
        ),
        (Input("counts", "whole numbers", True, sequence=True), ""),
        (
            Input("counts", "whole numbers", False),
            "reads single values in the column counts, which has lists of 3 now",
        ),
        (
            Input("area", "numbers", False, sequence=True, length=4),
            "reads lists of 4 values in the column area, which has single values now",
        ),
    ],
)
def test_a_baseline_must_be_able_to_read_the_table(tmp_path, column, problem):
    content = {"inputs": [dataclasses.asdict(column)], "columns": [column.name]}
    export = write_export(tmp_path, label_lib.to_json([PRICE]), json.dumps(content))
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
    assert comparison.why_not_comparable([PRICE], export, schema) == problem


def write_export(folder, label: str, features: str) -> str:
    """Writes an export that contains only its label and its features."""
    (folder / "assets.extra").mkdir()
    (folder / "assets.extra" / "label.json").write_text(label)
    (folder / "assets.extra" / "features.json").write_text(features)
    return str(folder)


@pytest.mark.parametrize(
    ("before", "now", "problem"),
    [
        ([PRICE], [PRICE], ""),
        ([PRICE, ANSWER], [PRICE], ""),
        ([PRICE], [PRICE, ANSWER], "does not predict answer (it predicts price)"),
        ([PRICE], [RENT], "does not predict rent/m2 (it predicts price)"),
        ([ANSWER], [dataclasses.replace(ANSWER, task="multiclass")], "predicts answer as binary, "),
        (
            [GRADE],
            [dataclasses.replace(GRADE, classes=("9", "10", "12"))],
            "has other classes for grade: it does not know 12; it also knows 11",
        ),
        (
            [GRADE],
            [dataclasses.replace(GRADE, classes=("10", "9", "11"))],
            "has other classes for grade: they are in another order",
        ),
        ([PRICE], [dataclasses.replace(PRICE, mean=7.0, log=False)], ""),
        ([PRICE], [dataclasses.replace(PRICE, interval=0.8)], ""),
    ],
)
def test_a_baseline_must_predict_the_same_labels(tmp_path, before, now, problem):
    export = write_export(tmp_path, label_lib.to_json(before), '{"inputs": [], "columns": []}')
    reason = comparison.why_not_comparable(now, export, schema_pb2.Schema())
    assert reason.startswith(problem) and bool(reason) == bool(problem)


@pytest.mark.parametrize(
    ("label", "features"),
    [
        (json.dumps(dataclasses.asdict(PRICE)), '{"features": [], "columns": []}'),
        ("{", '{"inputs": [], "columns": []}'),
        (label_lib.to_json([PRICE]), '{"features": [], "columns": []}'),
        (label_lib.to_json([PRICE]), '{"inputs": [{"name": "area"}]}'),
    ],
)
def test_a_baseline_exported_in_an_earlier_form_is_not_compared(tmp_path, label, features):
    export = write_export(tmp_path, label, features)
    problem = comparison.why_not_comparable([PRICE], export, schema_pb2.Schema())
    assert problem == "was exported in an older format"
