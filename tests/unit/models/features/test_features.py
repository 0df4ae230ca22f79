"""Tests of which columns are features, and of which kind."""

import json

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from models.features import export_inputs, features
from models.features.export_inputs import Input
from models.features.features import Feature
from tests.helpers.column_builder import column_settings

SHAPE = "shape { dim { size: 1 } }"


def resolve(text: str, overrides=None, label="y", labels=None, **more):
    text += f'feature {{ name: "y" type: FLOAT {SHAPE} }}'
    settings = column_settings({label: "regression", **(labels or {})}, overrides, **more)
    return features.resolve(text_format.Parse(text, schema_pb2.Schema()), settings)


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
        ("type: INT value_count { min: 1 max: 1 }", "numeric", "whole numbers"),
        ("type: FLOAT value_count { min: 1 }", "sequence", "numbers"),
        ("type: INT value_count { min: 2 max: 2 }", "sequence", "whole numbers"),
        ("type: INT int_domain { is_categorical: true } value_count { max: 3 }", "sequence", None),
        ('type: BYTES time_domain { string_format: "%Y" }', "date", "text"),
        ("type: BYTES string_domain { value: 'a' }", "categorical", "text"),
        ("type: FLOAT float_domain { min: 0 max: 1 }", "numeric", "numbers"),
    ],
)
def test_the_schema_determines_the_kind(column, kind, dtype):
    shape = "" if "value_count" in column else SHAPE
    [feature] = resolve(f'feature {{ name: "x" {column} {shape} }}')
    assert feature.kind == kind
    assert dtype is None or feature.dtype == dtype
    assert feature.optional == (not shape)


@pytest.mark.parametrize(
    ("words", "true_value"),
    [
        ('true_value: "True" false_value: "False"', ""),
        ('true_value: "yes" false_value: "no"', ""),
        ('true_value: "ja" false_value: "nein"', "ja"),
        ('true_value: "yes"', "yes"),
        ('true_value: "no" false_value: "yes"', "no"),
        ('true_value: "1" false_value: "2"', "1"),
        ('false_value: "nein"', ""),
    ],
)
def test_a_domains_unusual_words_are_matched_exactly(words, true_value):
    [feature] = resolve(f'feature {{ name: "x" type: BYTES bool_domain {{ {words} }} {SHAPE} }}')
    assert feature.true_value == true_value


def test_a_column_without_a_shape_is_optional():
    assert [
        f.optional
        for f in resolve(
            f'feature {{ name: "a" type: INT {SHAPE} }} feature {{ name: "b" type: INT }}'
        )
    ] == [False, True]


def test_an_override_wins_over_the_schema_and_keeps_the_order():
    text = (
        f'feature {{ name: "zip" type: INT {SHAPE} }}'
        f'feature {{ name: "when" type: BYTES {SHAPE} }}'
        f'feature {{ name: "flag" type: INT {SHAPE} }}'
    )
    overrides = {
        "flag": {"kind": "boolean"},
        "when": {"kind": "date"},
        "zip": {"kind": "categorical", "vocabulary": 7, "min_count": 2, "oov_buckets": 3},
    }
    assert resolve(text, overrides) == (
        Feature("zip", "categorical", "whole numbers", False, 7, 2, 3),
        Feature("when", "date", "text", False),
        Feature("flag", "boolean", "whole numbers", False),
    )


def test_settings_without_a_kind_keep_the_schemas_kind():
    [feature] = resolve('feature { name: "x" type: BYTES }', {"x": {"min_count": 1}})
    assert feature == Feature("x", "categorical", "text", True, min_count=1)


def test_label_ignored_and_deprecated_columns_are_not_features():
    text = (
        f'feature {{ name: "a" type: INT {SHAPE} }}'
        f'feature {{ name: "b" type: INT {SHAPE} }}'
        f'feature {{ name: "c" type: INT lifecycle_stage: DEPRECATED {SHAPE} }}'
    )
    assert [f.name for f in resolve(text, {"b": {"kind": "ignore"}})] == ["a"]


EMPTY = (
    f'feature {{ name: "a" type: INT {SHAPE} }}'
    'feature { name: "untyped" lifecycle_stage: DISABLED }'
    'feature { name: "b" type: FLOAT lifecycle_stage: DISABLED }'
    'feature { name: "c" type: INT lifecycle_stage: DISABLED }'
)


def test_columns_without_values_are_left_out_with_features_derived_from_them():
    settings = column_settings(
        {},
        {"b": {"kind": "numeric"}, "c": {"kind": "ignore"}},
        derived={"half": "b / 2", "more": "half + a", "twice": "a * 2"},
    )
    schema = text_format.Parse(EMPTY, schema_pb2.Schema())
    assert [f.name for f in features.resolve(schema, settings)] == ["a", "twice"]
    empty = "has no value in the train split, so it is left out"
    derived = "reads a column without a value in the train split, so it is left out"
    assert features.notes(schema, settings) == [
        f"column untyped: {empty}",
        f"column b: {empty}",
        f"derived.half: {derived}",
        f"derived.more: {derived}",
    ]


def test_a_label_without_a_value_is_refused():
    with pytest.raises(ValueError, match="column b: has no value in the train split"):
        resolve(EMPTY, {}, label="b")


def test_an_ignored_column_may_have_any_shape():
    text = (
        f'feature {{ name: "a" type: INT {SHAPE} }} feature {{ name: "untyped" }}'
        'feature { name: "list" type: INT value_count { min: 0 max: 9 } }'
    )
    ignored = {"untyped": {"kind": "ignore"}, "list": {"kind": "ignore"}}
    assert [f.name for f in resolve(text, ignored)] == ["a"]


@pytest.mark.parametrize(
    "column, override, message",
    [
        ("type: BYTES", {"kind": "numeric"}, "column x: cannot be numeric: it holds text, not num"),
        ("type: FLOAT", {"kind": "date"}, "column x: cannot be date: it holds numbers, not dat"),
        ("type: FLOAT", {"kind": "categorical"}, "column x: cannot be categorical: it holds fract"),
        ("", {}, "column x: has no type in the schema; set features.x: ignore"),
        (
            "type: INT value_count { min: 1 max: 3 }",
            {"kind": "numeric"},
            "column x: holds lists, so it cannot be numeric; set features.x: sequence or ignore",
        ),
        ("type: INT shape { dim { size: 2 } }", {"kind": "boolean"}, "column x: holds lists, so"),
        ("type: BYTES value_count { min: 1 }", {}, "column x: holds lists of text; only lists"),
        ("type: BYTES", {"kind": "sequence"}, "column x: holds lists of text; only lists of"),
        (
            "type: INT shape { dim { size: 2 } dim { size: 2 } }",
            {},
            "column x: holds lists of lists; expected one value or one list per example; set feat",
        ),
        ("type: FLOAT", {"kind": "ordinal", "order": [1, 2]}, "cannot be ordinal: it holds frac"),
        (
            "type: INT",
            {"kind": "ordinal", "order": ["1", "2"]},
            "column x: holds whole numbers, but its order lists '1'; write the values without q",
        ),
        (
            "type: BYTES",
            {"kind": "ordinal", "order": [1, 2]},
            "column x: holds text, but its order lists 1; write the values in quotes",
        ),
    ],
)
def test_an_impossible_kind_is_refused(column, override, message):
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


def test_a_sequence_has_its_fixed_length():
    text = (
        'feature { name: "a" type: INT shape { dim { size: 3 } } }'
        'feature { name: "b" type: FLOAT value_count { min: 3 max: 3 } }'
        'feature { name: "c" type: FLOAT }'
    )
    found = resolve(text, {"c": {"kind": "sequence"}})
    assert [(f.kind, f.length, f.optional) for f in found] == [
        ("sequence", 3, False),
        ("sequence", 0, True),
        ("sequence", 0, True),
    ]


COLUMNS = (
    f'feature {{ name: "a" type: INT {SHAPE} }} feature {{ name: "b" type: FLOAT }}'
    f'feature {{ name: "t" type: BYTES {SHAPE} }} feature {{ name: "w" type: INT {SHAPE} }}'
    'feature { name: "s" type: FLOAT value_count { min: 1 } }'
    'feature { name: "z" type: INT lifecycle_stage: DEPRECATED }'
)


def test_labels_and_weight_are_not_features():
    names = [f.name for f in resolve(COLUMNS, labels={"t": "binary"}, weight="w")]
    assert names == ["a", "b", "s"]


def test_derived_features_come_last_sorted_by_name():
    found = resolve(
        COLUMNS, {"b": {"kind": "ignore"}}, derived={"e": "f + a", "f": "-b * a", "d": "a + 1"}
    )
    assert [f.name for f in found] == ["a", "t", "w", "s", "d", "e", "f"]
    d, e, f = found[-3:]
    assert (d.kind, d.optional, [o.name for o in d.operands]) == ("derived", False, ["a"])
    assert (e.optional, e.operands) == (True, (f, found[0]))
    assert [(o.name, o.kind) for o in f.operands] == [("b", "numeric"), ("a", "numeric")]
    assert [c.name for c in features.columns_read(found)] == ["a", "t", "w", "s", "b"]
    assert [c.name for c in features.columns_read([e])] == ["b", "a"]


@pytest.mark.parametrize(
    ("derived", "message"),
    [
        ({"a": "b + 1"}, "derived.a: a column has this name; choose another"),
        ({"d": "q + 1"}, "derived.d: column q is not in the schema, which has a, b, t, w, s, z, y"),
        ({"d": "t + 1"}, "derived.d: t is categorical; expected a numeric, ordinal, boolean or da"),
        ({"d": "s + 1"}, "derived.d: s is sequence; expected a numeric"),
        ({"d": "z + 1"}, "derived.d: z is deprecated in the schema; expected a numeric"),
        ({"d": "y + 1"}, "derived.d: y is a label or the weight, which requests do not contain"),
        ({"d": "w + 1"}, "derived.d: w is a label or the weight, which requests do not contain"),
        ({"d": "d + 1"}, "derived.d: depends on itself: d -> d"),
        ({"d": "e + 1", "e": "a + f", "f": "e"}, "derived.e: depends on itself: e -> f -> e"),
        ({"d": "a +"}, "derived.d: found 'a +', expected columns"),
    ],
)
def test_an_invalid_derivation_is_refused(derived, message):
    with pytest.raises(ValueError) as refusal:
        resolve(COLUMNS, derived=derived, weight="w")
    assert str(refusal.value).startswith(message)


def test_an_export_lists_the_columns_it_reads(tmp_path):
    text = COLUMNS + 'feature { name: "l" type: INT shape { dim { size: 3 } } }'
    schema = text_format.Parse(text, schema_pb2.Schema())
    ignored = {"b": {"kind": "ignore"}, "a": {"kind": "ignore"}}
    settings = column_settings({"t": "binary"}, ignored, weight="w", derived={"d": "b / a"})
    (tmp_path / "assets.extra").mkdir()
    signature = export_inputs.to_json(schema, features.resolve(schema, settings))
    (tmp_path / "assets.extra" / export_inputs.FILE_NAME).write_text(signature)
    assert export_inputs.of_export(str(tmp_path)) == (
        Input("s", "numbers", True, sequence=True),
        Input("l", "whole numbers", False, sequence=True, length=3),
        Input("b", "numbers", True),
        Input("a", "whole numbers", False),
    )
    assert json.loads(signature)["columns"] == ["a", "b", "t", "w", "s", "z", "l"]
    assert json.loads(signature)["missing"] == []


def test_an_export_lists_the_words_for_missing_values():
    assert json.loads(export_inputs.to_json(schema_pb2.Schema(), (), ("NA", "?")))["missing"] == [
        "NA",
        "?",
    ]
