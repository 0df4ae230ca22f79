"""Tests of a label's statistics in the train split."""

import math
import types
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models.features import label as label_lib
from models.features import label_statistics, packed_tensors
from models.features.label import Label
from models.settings.column_settings import LabelSettings


def made(settings: LabelSettings, output, files=(), index=0) -> Label:
    return label_statistics.from_transform(settings, index, output, files)


def regression(log: bool | None = None, interval: float | None = None) -> LabelSettings:
    return LabelSettings("y", "regression", log, interval)


def test_regression_statistics_come_from_the_train_split(rich):
    label = made(LabelSettings("price", "regression"), rich.output, rich.train_files)
    prices = np.array([row["price"] for row in rich.train_rows])
    assert label.mean == pytest.approx(prices.mean(), rel=1e-5)
    assert label.deviation == pytest.approx(prices.std(), rel=1e-5)
    assert label.log_mean == pytest.approx(np.log1p(prices).mean(), rel=1e-5)
    assert label.log_deviation == pytest.approx(np.log1p(prices).std(), rel=1e-4)
    assert label.median == pytest.approx(np.median(prices), rel=1e-2)
    assert (label.name, label.task, label.classes) == ("price", "regression", ())


def test_classes_of_text_labels(binary):
    label = made(LabelSettings("outcome", "binary"), binary.output, binary.train_files)
    outcomes = [row["outcome"] for row in binary.train_rows]
    assert label.classes == ("no", "yes")
    assert label.frequencies == pytest.approx([outcomes.count(c) / 400 for c in label.classes])


def test_classes_of_numbers_are_ordered_by_size(multiclass):
    label = made(LabelSettings("outcome", "multiclass"), multiclass.output, multiclass.train_files)
    outcomes = [row["outcome"] for row in multiclass.train_rows]
    assert label.classes == ("9", "10", "11")
    assert label.frequencies == pytest.approx([outcomes.count(c) / 400 for c in (9, 10, 11)])


def test_too_many_classes_for_a_binary_label_are_refused(multiclass):
    with pytest.raises(ValueError, match="label outcome: found 3 classes .*expected 2"):
        made(LabelSettings("outcome", "binary"), multiclass.output, multiclass.train_files)


NO_GRAPH: Any = None  # a regression does not use it


def statistics_file(folder, *values: float) -> list[str]:
    """Writes a transformed example that contains only label statistics."""
    feature = tf.train.Feature(float_list=tf.train.FloatList(value=values))
    features = tf.train.Features(feature={packed_tensors.statistics_name(0): feature})
    path = str(folder / "rows.gz")
    with tf.io.TFRecordWriter(path, "GZIP") as file:
        file.write(tf.train.Example(features=features).SerializeToString())
    return [path]


@pytest.mark.parametrize(
    "mean, deviation, median, log",
    [
        (540.0, 360.0, 450.0, True),  # house prices: 3 · 90 / 360 = 0.75
        (460.0, 360.0, 450.0, False),  # nearly symmetric
        (400.0, 360.0, 450.0, False),  # skewed to the left
        (3.0, 9.0, 0.0, False),  # half of the rows are zero
    ],
)
def test_skew_decides_the_scale_unless_it_is_set(tmp_path, mean, deviation, median, log):
    files = statistics_file(tmp_path, mean, deviation, 6.0, 0.5, median, 0.0)
    for setting, expected in ((None, log), (True, True), (False, False)):
        label = made(regression(setting), NO_GRAPH, files)
        assert label.log is expected


def test_a_negative_label_cannot_have_a_log_scale(tmp_path):
    files = statistics_file(tmp_path, 540.0, 360.0, 6.0, 0.5, 450.0, -5.0)
    label = made(regression(), NO_GRAPH, files)
    assert not label.log
    with pytest.raises(ValueError, match="label y: found -5; log_label: true needs labels of"):
        made(regression(True), NO_GRAPH, files)


@pytest.mark.parametrize("deviation", [0.0, 0.0067])
def test_a_constant_label_is_refused(tmp_path, deviation):
    """In Transform's single precision a constant 123456.7 may have a deviation."""
    files = statistics_file(tmp_path, 123456.7, deviation, 11.7, 0.0, 123456.7, 123456.7)
    with pytest.raises(ValueError, match="label y: is 123457 in every row of .*nothing to learn"):
        made(regression(), NO_GRAPH, files)


def vocabulary(folder, counts: dict[str, int]):
    """Returns a stand-in for Transform's output that only has a vocabulary file."""
    path = folder / "vocabulary"
    path.write_text("".join(f"{count} {value}\n" for value, count in counts.items()))
    return types.SimpleNamespace(vocabulary_file_by_name=lambda name: str(path))


def test_each_label_has_its_own_statistics(full):
    price = made(LabelSettings("price", "regression"), full.output, full.train_files)
    front = made(LabelSettings("waterfront", "binary"), full.output, full.train_files, 1)
    grade = made(
        LabelSettings("grade", "regression", log_label=False),
        full.output,
        full.train_files,
        2,
    )
    rows = full.train_rows
    assert price.mean == pytest.approx(np.mean([row["price"] for row in rows]), rel=1e-5)
    assert grade.mean == pytest.approx(np.mean([row["grade"] for row in rows]), rel=1e-5)
    assert front.classes == ("no", "yes")
    share = np.mean([row["waterfront"] == "yes" for row in rows])
    assert front.frequencies == pytest.approx([1 - share, share])


def test_a_regression_may_have_an_interval(tmp_path):
    files = statistics_file(tmp_path, 540.0, 360.0, 6.0, 0.5, 450.0, 0.0)
    assert made(regression(interval=0.9), NO_GRAPH, files).interval == 0.9
    assert made(regression(), NO_GRAPH, files).interval is None


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (None, ()),
        ("balanced", (2.0, 2 / 3)),
        ({"no": 5}, (5.0, 1.0)),
        ({"yes": 0.5, "no": 2}, (2.0, 0.5)),
    ],
)
def test_class_weights_are_in_the_order_of_the_classes(tmp_path, weights, expected):
    label_settings = LabelSettings("y", "binary", class_weights=weights)
    label = made(label_settings, vocabulary(tmp_path, {"yes": 6, "no": 2}))
    assert label.classes == ("no", "yes")
    assert label.class_weights == pytest.approx(expected)
    # Balanced weights do not change the sum over the rows.
    if weights == "balanced":
        assert 2 * label.class_weights[0] + 6 * label.class_weights[1] == pytest.approx(8)


def test_a_weight_for_an_unknown_class_is_refused(tmp_path):
    label_settings = LabelSettings("y", "binary", class_weights={"maybe": 5.0})
    with pytest.raises(ValueError, match="class_weights: label y has no class 'maybe'; .* no, yes"):
        made(label_settings, vocabulary(tmp_path, {"yes": 6, "no": 2}))


@pytest.mark.parametrize(
    "counts, classes",
    [
        ({"1": 5, "0": 3}, ("0", "1")),
        ({"yes": 5, "no": 3}, ("no", "yes")),
        ({"10": 9, "2": 3, "-1": 1, "9": 2}, ("-1", "2", "9", "10")),
        ({"other": 9, "12": 3, "3": 1}, ("3", "12", "other")),
        ({"New York": 2, "Los Angeles": 1}, ("Los Angeles", "New York")),
    ],
)
def test_natural_order_of_classes(tmp_path, counts, classes):
    label = made(LabelSettings("y", "multiclass"), vocabulary(tmp_path, counts))
    assert label.classes == classes
    assert label.frequencies == pytest.approx([counts[c] / sum(counts.values()) for c in classes])


@pytest.mark.parametrize(
    "task, counts, expected",
    [
        ("multiclass", {"a": 9}, r"found 1 classes \(a\), expected at least 2 for task multiclass"),
        ("binary", {"a": 9}, r"found 1 classes \(a\), expected 2 for task binary"),
        ("binary", {"a": 9, "b": 2, "c": 1}, r"found 3 classes \(a, b, c\), expected 2"),
    ],
)
def test_a_wrong_number_of_classes_is_refused(tmp_path, task, counts, expected):
    with pytest.raises(ValueError, match=f"label y: {expected}"):
        made(LabelSettings("y", task), vocabulary(tmp_path, counts))


def test_nan_among_numeric_classes_is_refused(tmp_path):
    with pytest.raises(ValueError, match="label y: found nan in 2 rows of the train split"):
        made(
            LabelSettings("y", "multiclass"),
            vocabulary(tmp_path, {"1.0": 9, "2.0": 5, "nan": 2}),
        )
    label = made(LabelSettings("y", "multiclass"), vocabulary(tmp_path, {"bread": 9, "nan": 5}))
    assert label.classes == ("bread", "nan")


def test_classes_keep_line_ends_and_spaces(tmp_path):
    lines = vocabulary(tmp_path, {"two\\nlines": 3, "trail ": 2, " lead": 2, r"a\\b": 1})
    label = made(LabelSettings("y", "multiclass"), lines)
    assert set(label.classes) == {"two\nlines", "trail ", " lead", r"a\b"}


finite = st.floats(allow_nan=False, allow_infinity=False)
labels = st.builds(
    Label,
    name=st.text(max_size=9),
    task=st.sampled_from(["regression", "binary", "multiclass"]),
    log=st.booleans(),
    mean=finite,
    deviation=finite,
    log_mean=finite,
    log_deviation=finite,
    median=finite,
    classes=st.lists(st.text(max_size=9), max_size=4).map(tuple),
    frequencies=st.lists(finite, max_size=4).map(tuple),
    interval=st.one_of(st.none(), finite),
    calibration=finite,
    class_weights=st.lists(finite, max_size=4).map(tuple),
)


@settings(deadline=None)
@given(several=st.lists(labels, min_size=1, max_size=3).map(tuple))
def test_labels_survive_json(several):
    assert label_lib.from_json(label_lib.to_json(several)) == several


def test_nan_survives_json():
    [label] = label_lib.from_json(label_lib.to_json([Label("y", "binary", classes=("a", "b"))]))
    assert math.isnan(label.mean) and math.isnan(label.median)


def test_the_labels_of_an_export_are_read(tmp_path):
    several = (Label("y", "binary", classes=("a", "b"), mean=0.0), Label("z", "regression"))
    (tmp_path / "assets.extra").mkdir()
    (tmp_path / "assets.extra" / label_lib.FILE_NAME).write_text(label_lib.to_json(several))
    assert Label.of_export(str(tmp_path)).name == "y"
    assert [label.name for label in label_lib.labels_of_export(str(tmp_path))] == ["y", "z"]
