"""Which columns are features, and of what kind."""

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from models import features
from models.features import Feature

SHAPE = "shape { dim { size: 1 } }"


def resolve(columns: str, overrides=None, label="y"):
    text = columns + f'feature {{ name: "y" type: FLOAT {SHAPE} }}'
    return features.resolve(text_format.Parse(text, schema_pb2.Schema()), overrides or {}, label)


@pytest.mark.parametrize(
    "column, kind, dtype",
    [
        ("type: INT", "numeric", "whole numbers"),
        ("type: FLOAT", "numeric", "numbers"),
        ("type: BYTES", "categorical", "text"),
        ("type: BYTES bool_domain {}", "boolean", "text"),
        ("type: INT bool_domain {}", "boolean", "whole numbers"),
        ("type: INT int_domain { min: 0 max: 1 }", "boolean", "whole numbers"),
        ("type: INT int_domain { min: 0 max: 2 }", "numeric", "whole numbers"),
        ("type: INT int_domain { is_categorical: true }", "categorical", "whole numbers"),
        ("type: INT int_domain { min: 0 max: 1 is_categorical: true }", "categorical", None),
        ('type: BYTES time_domain { string_format: "%Y" }', "date", "text"),
        ("type: BYTES string_domain { value: 'a' }", "categorical", "text"),
        ("type: FLOAT float_domain { min: 0 max: 1 }", "numeric", "numbers"),
    ],
)
def test_the_schema_says_the_kind(column, kind, dtype):
    [feature] = resolve(f'feature {{ name: "x" {column} {SHAPE} }}')
    assert feature.kind == kind
    assert dtype is None or feature.dtype == dtype
    assert not feature.optional


def test_a_column_without_a_shape_is_optional():
    assert [
        f.optional
        for f in resolve(
            f'feature {{ name: "a" type: INT {SHAPE} }} feature {{ name: "b" type: INT }}'
        )
    ] == [False, True]


def test_an_override_wins_over_the_schema_and_keeps_the_order():
    columns = (
        f'feature {{ name: "zip" type: INT {SHAPE} }}'
        f'feature {{ name: "when" type: BYTES {SHAPE} }}'
        f'feature {{ name: "flag" type: INT {SHAPE} }}'
    )
    overrides = {
        "flag": {"kind": "boolean"},
        "when": {"kind": "date"},
        "zip": {"kind": "categorical", "vocabulary": 7, "min_count": 2, "oov_buckets": 3},
    }
    assert resolve(columns, overrides) == (
        Feature("zip", "categorical", "whole numbers", False, 7, 2, 3),
        Feature("when", "date", "text", False),
        Feature("flag", "boolean", "whole numbers", False),
    )


def test_settings_without_a_kind_keep_the_kind_of_the_schema():
    [feature] = resolve('feature { name: "x" type: BYTES }', {"x": {"min_count": 1}})
    assert feature == Feature("x", "categorical", "text", True, min_count=1)


def test_label_ignored_and_deprecated_columns_are_no_features():
    columns = (
        f'feature {{ name: "a" type: INT {SHAPE} }}'
        f'feature {{ name: "b" type: INT {SHAPE} }}'
        f'feature {{ name: "c" type: INT lifecycle_stage: DEPRECATED {SHAPE} }}'
    )
    assert [f.name for f in resolve(columns, {"b": {"kind": "ignore"}})] == ["a"]


def test_an_ignored_column_may_be_of_any_form():
    columns = (
        f'feature {{ name: "a" type: INT {SHAPE} }} feature {{ name: "untyped" }}'
        'feature { name: "list" type: INT value_count { min: 0 max: 9 } }'
    )
    ignored = {"untyped": {"kind": "ignore"}, "list": {"kind": "ignore"}}
    assert [f.name for f in resolve(columns, ignored)] == ["a"]


@pytest.mark.parametrize(
    "column, override, message",
    [
        ("type: BYTES", {"kind": "numeric"}, "column x: cannot be numeric: it holds text, not num"),
        ("type: INT", {"kind": "date"}, "column x: cannot be date: it holds whole numbers, not te"),
        ("type: FLOAT", {"kind": "date"}, "column x: cannot be date: it holds numbers, not text"),
        ("type: FLOAT", {"kind": "categorical"}, "column x: cannot be categorical: it holds fract"),
        ("", {}, "column x: has no type in the schema; set features.x: ignore"),
        ("type: INT value_count { min: 1 max: 3 }", {}, "column x: holds lists; expected one val"),
        ("type: INT shape { dim { size: 2 } }", {}, "column x: holds lists"),
    ],
)
def test_what_a_column_cannot_be_is_refused(column, override, message):
    with pytest.raises(ValueError) as refusal:
        resolve(f'feature {{ name: "x" {column} }}', {"x": override})
    assert message in str(refusal.value)


@pytest.mark.parametrize("overrides, label, unknown", [({"z": {}}, "y", "z"), ({}, "w", "w")])
def test_an_unknown_column_is_refused_and_the_known_ones_are_listed(overrides, label, unknown):
    with pytest.raises(ValueError, match=f"column {unknown}: not in the schema, which has x, y"):
        resolve('feature { name: "x" type: INT }', overrides, label)


def test_a_table_without_features_is_refused():
    with pytest.raises(ValueError, match="no column is left to learn from"):
        resolve('feature { name: "x" type: INT }', {"x": {"kind": "ignore"}})
