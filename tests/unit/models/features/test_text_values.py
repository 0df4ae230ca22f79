"""Tests that texts have the same meaning to TensorFlow and to Arrow."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from models.features import label_statistics, text_values


def matches(pattern: str, texts: list[str]) -> list[bool]:
    in_graph = tf.strings.regex_full_match(tf.constant(texts), pattern).numpy().tolist()
    in_table = pc.match_substring_regex(pa.array(texts), f"^(?:{pattern})$").to_pylist()
    assert in_graph == in_table
    return in_graph


@pytest.mark.parametrize(
    ("texts", "truth"),
    [
        (["true", "TRUE", "t", "yes", "Y", "on", "On", "1", "1.0", " yes "], True),
        (["false", "False", "f", "no", "N", "off", "OFF", "0", "0.0", "no "], False),
        (["", "maybe", "2", "0.5", "10", "yesno", "-1", "on off", "NA"], None),
    ],
)
def test_text_is_read_as_truth_values(texts, truth):
    assert matches(text_values.TRUE, texts) == [truth is True] * len(texts)
    assert matches(text_values.FALSE, texts) == [truth is False] * len(texts)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2018-1-5", (2018, 1, 5)),
        ("2018-01-05", (2018, 1, 5)),
        ("2018/1/15", (2018, 1, 15)),
        ("2018.12.31", (2018, 12, 31)),
        ("20180105", (2018, 1, 5)),
        ("201801050830", (2018, 1, 5)),
        ("20180105083000", (2018, 1, 5)),
        ("20141013T000000", (2014, 10, 13)),
        ("2018-1-5 8:30", (2018, 1, 5)),
        (" 2018-1-5Z", (2018, 1, 5)),
        ("2018-01-05T08:30:00.123+02:00", (2018, 1, 5)),
        ("2018-13-5", None),
        ("2018-0-5", None),
        ("2018-1-32", None),
        ("2018-1-055", None),
        ("18-1-5", None),
        ("05.01.2018", None),
        ("1/5/2018", None),
        ("2018-01", None),
        ("201801", None),
        ("1611122312", None),
        ("1611122312000", None),
        ("today", None),
        ("", None),
    ],
)
def test_text_is_read_as_dates(text, date):
    assert matches(text_values.DATE, [text]) == [date is not None]
    if date:
        parts = (text_values.DATE_YEAR, text_values.DATE_MONTH, text_values.DATE_DAY)
        found = [
            pc.replace_substring_regex([text], f"^{text_values.DATE}$", part) for part in parts
        ]
        assert tuple(int(part[0].as_py()) for part in found) == date


@given(st.floats(width=32, allow_subnormal=False))
def test_classes_of_floats_have_the_same_names_in_the_graph(value):
    text = label_statistics.class_text(tf.constant([value], tf.float32)).numpy()[0].decode()
    expected = text_values.class_of_number(float(np.float32(value)))
    assert text == expected or (text.strip("-"), value) == ("nan", value) or value != value


@pytest.mark.parametrize(
    ("value", "name"),
    [(0.5, "0.5"), (1.0, "1.0"), (-0.0, "0.0"), (4.5, "4.5"), (-12.0, "-12.0"), (0.1, "0.1")],
)
def test_classes_of_floats(value, name):
    assert text_values.class_of_number(float(np.float32(value))) == name


@given(st.text(alphabet="\n\r\\nr a"))
def test_line_ends_survive_a_vocabulary(text):
    line = label_statistics.escaped(tf.constant([text])).numpy()[0].decode()
    assert not set(line) & set("\n\r")
    assert label_statistics.unescaped(line) == text
