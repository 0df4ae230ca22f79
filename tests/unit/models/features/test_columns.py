"""Tests of ordinal columns, lists, derived features, weights and several labels."""

import datetime
import functools
import json
import math

import numpy as np
import pytest
import rich_table
import tensorflow as tf
import test_inputs
from rich_table import Server, Transformed

from models.features import inputs, preprocessing, vocabularies
from models.features.packed_tensors import (
    CATEGORICAL,
    INDICATOR,
    QUANTILE,
    SCALED,
    WEIGHT,
    Layout,
    sequence_name,
)

LABELS = ["price", "waterfront", "grade"]
WINDOW, COUNTS = sequence_name("window"), sequence_name("counts")


batches = functools.partial(test_inputs.batches, labels=LABELS, batch_size=50, seed=1)


def joined(batches, name) -> np.ndarray:
    return np.concatenate([features[name] for features, _ in batches])


@pytest.fixture(scope="module")
def layout(full) -> Layout:
    return Layout.of(full.features)


@pytest.fixture(scope="module")
def served(full) -> dict:
    """Returns the train rows as an exported model sees them, without labels and weight."""
    without = ("price", "waterfront", "grade", "sure")
    rows = [{k: v for k, v in row.items() if k not in without} for row in full.train_rows]
    return Server(full)(rows)


@pytest.fixture(scope="module")
def read(full) -> list:
    """Returns the train split in batches of the eval input."""
    return batches(full, full.train_files, 6, training=False)


def scaled(served, layout, name) -> np.ndarray:
    return served[SCALED][:, layout.numeric.index(name)]


def standardised(values) -> np.ndarray:
    values = np.asarray(values, np.float64)
    there = np.isfinite(values)
    result = (values - values[there].mean()) / (values[there].std() or 1.0)
    return np.where(there, result, 0.0)


def test_layout(layout):
    assert layout == Layout(
        numeric=("Lot Area", "quality", "stars", "sold", "age", "best", "per star", "sold_year"),
        indicator=(
            "quality:missing",
            *(f"sold:{part}" for part in ("year_sin", "year_cos", "week_sin", "week_cos")),
            "garden",
            "age:missing",
            "best:missing",
        ),
        categorical=(),
        sequences=("window", "counts"),
    )


@pytest.mark.parametrize(
    ("name", "order"), [("quality", rich_table.QUALITY), ("stars", [3, 1, 2])], ids=["text", "int"]
)
def test_an_ordinal_value_becomes_its_index_and_unknown_values_are_missing(
    full, served, layout, name, order
):
    values = [row[name] for row in full.train_rows]
    places = [float(order.index(value)) if value in order else math.nan for value in values]
    assert 0 < np.isnan(places).sum() < len(places)
    np.testing.assert_allclose(scaled(served, layout, name), standardised(places), atol=1e-4)
    position = served[QUANTILE][:, layout.numeric.index(name)]
    assert set(position[np.isnan(places)]) == {0.5}
    if name == "quality":
        missing = served[INDICATOR][:, layout.indicator.index("quality:missing")]
        np.testing.assert_array_equal(missing, np.isnan(places))


def expected_of(row) -> dict[str, float]:
    """Returns the derived features, computed in Python; missing ones are left out."""
    day = datetime.date.fromisoformat(row["sold"]).toordinal() + 305  # since March of the year 0
    place = {code: number for number, code in enumerate(rich_table.QUALITY)}.get(row["quality"])
    stars = {3: 0, 1: 1, 2: 2}.get(row["stars"])
    values = {"sold_year": day / 365.2425}
    if row["built"] is not None:
        values["age"] = 1 + day / 365.2425 - row["built"]
    if stars and row["garden"]:
        values["per star"] = row["Lot Area"] / (stars * row["garden"])
    if place is not None:
        values["best"] = max(place, 2, -1) + math.log1p(abs(row["Lot Area"])) ** 2
    return values


@pytest.mark.parametrize("name", list(rich_table.DERIVED))
def test_derived_features_and_where_they_are_missing(full, served, layout, name):
    values = np.array([expected_of(row).get(name, math.nan) for row in full.train_rows])
    found = scaled(served, layout, name)
    np.testing.assert_allclose(found, standardised(values), atol=2e-3)
    position = served[QUANTILE][:, layout.numeric.index(name)]
    assert np.all(position[np.isnan(values)] == 0.5)
    # A division by zero counts as missing, but without an indicator, as no operand is optional.
    assert (f"{name}:missing" in layout.indicator) == (name in ("age", "best"))
    if f"{name}:missing" in layout.indicator:
        missing = served[INDICATOR][:, layout.indicator.index(f"{name}:missing")]
        np.testing.assert_array_equal(missing, np.isnan(values))


def lists(rows, name) -> list[list[float]]:
    return [row[name] or [] for row in rows]


def test_lists_of_equal_length_are_dense(full, served):
    values = np.array(lists(full.train_rows, "counts"), np.float64)
    expected = (values - values.mean()) / values.std()
    assert served[COUNTS].dtype == np.float32
    np.testing.assert_allclose(served[COUNTS], expected, atol=1e-4)


def test_lists_of_varying_length_are_ragged_and_missing_ones_empty(full, served):
    raw = lists(full.train_rows, "window")
    assert any(row["window"] is None for row in full.train_rows)
    elements = np.array([value for values in raw for value in values])
    found = served[WINDOW]
    assert isinstance(found, tf.compat.v1.ragged.RaggedTensorValue)
    assert found.flat_values.dtype == np.float32
    assert np.diff(found.row_splits).tolist() == [len(values) for values in raw]
    np.testing.assert_allclose(found.flat_values, standardised(elements), atol=1e-4)


def test_extreme_elements_are_clipped_and_non_finite_ones_become_the_mean(full):
    row = full.train_rows[0]
    found = Server(full)([{**row, "window": [1e30, -1e30, math.nan, math.inf]}, row])[WINDOW]
    assert found.flat_values[:4].tolist() == [4.0, -4.0, 0.0, 0.0]


@pytest.mark.parametrize("cache_bytes", [0, 1 << 30], ids=["streamed", "cached"])
@pytest.mark.parametrize("chunk", [64, 16_384])
def test_training_batches_keep_each_row_together(full, read, monkeypatch, cache_bytes, chunk):
    monkeypatch.setattr(inputs, "CHUNK", chunk)
    rows = {
        price: (features[SCALED][i], features[COUNTS][i], features[WEIGHT][i], window(features, i))
        for features, labels in read
        for i, price in enumerate(labels["price"].tolist())
    }
    assert len(rows) == len(full.train_rows)
    for features, labels in batches(
        full, full.train_files, 8, training=True, cache_bytes=cache_bytes
    ):
        for i, price in enumerate(labels["price"].tolist()):
            found = features[SCALED][i], features[COUNTS][i], features[WEIGHT][i]
            for one, other in zip((*found, window(features, i)), rows[price]):
                np.testing.assert_array_equal(one, other)


def window(features, i) -> np.ndarray:
    ragged = features[WINDOW]
    return ragged.flat_values[ragged.row_splits[i] : ragged.row_splits[i + 1]]


def test_features_and_labels_in_training_and_serving(full, read, served):
    features, labels = read[0]
    assert set(features) == {SCALED, QUANTILE, INDICATOR, WINDOW, COUNTS, WEIGHT}
    assert set(served) == set(features) - {WEIGHT}
    assert features[WEIGHT].dtype == np.float32
    assert labels["price"].dtype == labels["grade"].dtype == np.float32
    raw = {np.float32(row["price"]): row for row in full.train_rows}
    for features, labels in read:
        for i, price in enumerate(labels["price"]):
            row = raw[price]
            assert features[WEIGHT][i] == np.float32(row["sure"])
            assert labels["waterfront"][i].decode() == row["waterfront"]
            assert labels["grade"][i] == row["grade"]


def test_unnamed_labels_are_refused(full):
    with pytest.raises(ValueError, match="found 3 labels in the examples, expected 1"):
        batches(full, full.train_files, 1, training=False, labels=())


def test_serving_transforms_like_training(full, read, served):
    order = {np.float32(row["price"]): i for i, row in enumerate(full.train_rows)}
    prices = np.concatenate([labels["price"] for _, labels in read])
    index = [order[price] for price in prices]
    for name in (SCALED, QUANTILE, INDICATOR, COUNTS):
        np.testing.assert_allclose(served[name][index], joined(read, name), atol=1e-6)


REQUIRED = "presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } }"


def table(folder, columns: str, rows, **more) -> Transformed:
    schema = columns + f'feature {{ name: "y" type: FLOAT {REQUIRED} }}'
    rows = [{**row, "y": float(number)} for number, row in enumerate(rows)]
    return rich_table.transform(folder, schema, {}, "y", "regression", rows, rows, **more)


NAMES = (
    "größe ort",
    "examples",
    "label",
    "scaled",
    "a/b",
    "[v1] {a}",
    'it\'s "q".x',
    "🏠",
    "x",
    "X",
)
SIGNS = ["tab\there", "two\nlines", "end\r", "0:a", ""]
ODD_ROWS: list[dict] = [
    {
        **{name: f"{name}-{number % 3}" for name in NAMES},
        "sign": SIGNS[number % 5],
        "plain": f"b{number % 5}",
        "count": number,
        "day": "soon",
        "nothing": None,
        "lists": None,
    }
    for number in range(30)
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory) -> Transformed:
    """Returns a table with all odd columns, as each run of Transform takes seconds."""
    columns = "".join(
        f"feature {{ name: {json.dumps(name, ensure_ascii=False)} type: BYTES {REQUIRED} }}"
        for name in (*NAMES, "sign", "plain")
    )
    columns += f"""
        feature {{ name: "count" type: INT {REQUIRED} }} feature {{ name: "nothing" type: FLOAT }}
        feature {{ name: "day" type: BYTES time_domain {{}} }}
        feature {{ name: "lists" type: INT value_count {{ min: 0 max: 9 }} }}"""
    return table(tmp_path_factory.mktemp("odd"), columns, ODD_ROWS)


@pytest.fixture(scope="module")
def serve_odd(odd) -> Server:
    return Server(odd)


def test_lists_that_are_all_empty(serve_odd):
    found = serve_odd([ODD_ROWS[0], {**ODD_ROWS[0], "lists": [3, 3]}])[sequence_name("lists")]
    assert np.diff(found.row_splits).tolist() == [0, 2]
    assert np.all(np.isfinite(found.flat_values))


def test_numbers_missing_throughout_the_train_split_are_neutral(odd, serve_odd):
    seen = serve_odd([{**ODD_ROWS[15], "nothing": 7.0, "day": "2014-10-13"}, ODD_ROWS[15]])
    places = Layout.of(odd.features).numeric
    for name in ("nothing", "day"):
        assert not seen[SCALED][:, places.index(name)].any()
        assert np.all(seen[QUANTILE][:, places.index(name)] == 0.5)
    assert seen[QUANTILE][0, places.index("count")] == pytest.approx(0.5, abs=0.1)


def categories(odd, served, *names) -> list[list[int]]:
    places = [Layout.of(odd.features).categorical.index(name) for name in names]
    return served[CATEGORICAL][:, places].tolist()


def test_columns_may_have_any_name(odd, serve_odd):
    found = categories(odd, serve_odd(ODD_ROWS[:3]), *NAMES)
    # Values with the same frequency are numbered in descending order.
    assert found == [[2] * len(NAMES), [1] * len(NAMES), [0] * len(NAMES)]


def test_each_column_has_its_own_vocabulary_of_any_characters(odd, serve_odd):
    columns = Layout.of(odd.features).categorical
    sizes = dict(zip(columns, vocabularies.sizes(odd.output, len(columns))))
    assert (sizes["sign"], sizes["plain"]) == (5, 5)
    swapped = {**ODD_ROWS[0], "sign": "b0", "plain": "0:a"}
    found = categories(odd, serve_odd([*ODD_ROWS[:5], swapped]), "sign", "plain")
    signs, words = zip(*found[:5])
    assert sorted(signs) == sorted(words) == [0, 1, 2, 3, 4]
    assert found[5] == [5, 5]


def test_a_missing_weight_is_refused(tmp_path):
    columns = 'feature { name: "x" type: INT } feature { name: "w" type: INT }'
    with pytest.raises(ValueError, match="weight w: missing in some rows"):
        table(tmp_path, columns, [{"x": 1, "w": 1}, {"x": 1}], weight="w")


def test_a_text_weight_is_refused(tmp_path):
    columns = f'feature {{ name: "x" type: INT }} feature {{ name: "w" type: BYTES {REQUIRED} }}'
    with pytest.raises(ValueError, match="weight w: holds text, expected numbers"):
        table(tmp_path, columns, [{"x": 1, "w": "a"}], weight="w")


def test_a_negative_weight_is_refused(tmp_path):
    columns = f'feature {{ name: "x" type: INT }} feature {{ name: "w" type: FLOAT {REQUIRED} }}'
    with pytest.raises(Exception, match="weight w: found a value that is negative or not a number"):
        table(tmp_path, columns, [{"x": 1, "w": 1.0}, {"x": 1, "w": -1.0}], weight="w")


def test_a_weight_that_is_not_a_number_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="weight w: .* not a number"):
        preprocessing._weight("w", tf.constant([1.0, math.nan]))
