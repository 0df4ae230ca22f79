"""Parquet's types as examples, zeros and falses among them."""

import datetime

import pyarrow as pa
import pytest

from components.parquet_example_gen.executor import to_examples


def values(example, name):
    feature = example.features.feature[name]
    kind = feature.WhichOneof("kind")
    return (kind, list(getattr(feature, kind).value)) if kind else None


def test_every_type_keeps_its_values_and_only_nulls_are_missing():
    table = pa.table(
        {
            "whole": pa.array([0, None, -(2**40)], pa.int64()),
            "small": pa.array([1, 0, None], pa.int8()),
            "number": pa.array([0.0, None, 2.5], pa.float64()),
            "truth": pa.array([False, True, None]),
            "text": pa.array(["", "Çelik", None]),
            "category": pa.array(["a", None, "b"]).dictionary_encode(),
            "day": pa.array([datetime.date(2014, 10, 13), None, None]),
            "time": pa.array(
                [datetime.datetime(2014, 10, 13, 8, 30), None, None], pa.timestamp("s")
            ),
        }
    )
    first, second, third = to_examples(table)
    assert values(first, "whole") == ("int64_list", [0])
    assert values(second, "whole") == ("int64_list", [])
    assert values(third, "whole") == ("int64_list", [-(2**40)])
    assert values(second, "small") == ("int64_list", [0])
    assert values(first, "number") == ("float_list", [0.0])
    assert values(third, "number") == ("float_list", [2.5])
    assert values(first, "truth") == ("int64_list", [0])
    assert values(first, "text") == ("bytes_list", [b""])
    assert values(second, "text") == ("bytes_list", ["Çelik".encode()])
    assert values(third, "category") == ("bytes_list", [b"b"])
    assert values(first, "day") == ("bytes_list", [b"2014-10-13"])
    assert values(first, "time") == ("bytes_list", [b"2014-10-13 08:30:00"])


@pytest.mark.parametrize("many", [pa.list_, pa.large_list])
def test_lists_keep_their_values_and_empty_ones_are_absent(many):
    lists = pa.array([[9, 9], [1, 0], [], None, [3]], many(pa.int16()))
    rows = list(to_examples(pa.table({"many": lists, "one": [0, 1, 2, 3, 4]})[1:]))
    assert [values(row, "many") for row in rows] == [
        ("int64_list", [1, 0]),
        None,
        None,
        ("int64_list", [3]),
    ]
    assert [values(row, "one") for row in rows] == [("int64_list", [n]) for n in (1, 2, 3, 4)]


def test_lists_of_one_length():
    lists = pa.array([[1.5, 0.0], None, [2.0, 3.0]], pa.list_(pa.float64(), 2))
    rows = to_examples(pa.table({"many": lists}))
    assert [values(row, "many") for row in rows] == [
        ("float_list", [1.5, 0.0]),
        None,
        ("float_list", [2.0, 3.0]),
    ]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ([[1, None]], "column many: found a list with a null in it; remove the null"),
        ([[[1]]], "column many: found the Parquet type list"),
        ([[{"a": 1}]], "column many: found the Parquet type struct"),
    ],
)
def test_other_lists_are_refused_by_name(lists, message):
    with pytest.raises(ValueError, match=message):
        list(to_examples(pa.table({"ok": [1], "many": pa.array(lists)})))
