"""Tests of the features that Transform computes from raw rows, against numpy and datetime."""

import datetime

import numpy as np
import pytest
import rich_table
import tensorflow_transform as tft
from google.protobuf import text_format
from hypothesis import given
from hypothesis import strategies as st
from properties import examples
from tfx_bsl.tfxio import tf_example_record

from models.features import packed_tensors, preprocessing, raw_columns, vocabularies
from models.features.packed_tensors import CATEGORICAL, INDICATOR, QUANTILE, SCALED, Layout

BINS = packed_tensors.QUANTILES


def numbers(rows, column) -> np.ndarray:
    """Returns a column as floats; missing values are NaN."""
    values = [row[column] for row in rows]
    if column == "day":
        values = [None if date is None else float(date.toordinal()) for date in map(date_of, rows)]
    return np.array([np.nan if value is None else value for value in values], np.float64)


def date_of(row) -> datetime.date | None:
    text = (row["day"] or "").replace("-", "").replace("/", "")[:8]
    return datetime.datetime.strptime(text, "%Y%m%d").date() if text.isdigit() else None


@pytest.fixture(scope="module")
def layout(rich) -> Layout:
    return Layout.of(rich.features)


@pytest.fixture(scope="module")
def typical(rich) -> dict:
    """Returns a row without missing values."""
    return next(row for row in rich.train_rows if not missing_anything(row))


def missing_anything(row) -> bool:
    return any(value is None or value != value for value in row.values()) or not date_of(row)


def column(arrays, layout, kind, name) -> np.ndarray:
    names = {
        SCALED: layout.numeric,
        QUANTILE: layout.numeric,
        INDICATOR: layout.indicator,
        CATEGORICAL: layout.categorical,
    }[kind]
    return arrays[kind][:, names.index(name)]


def piecewise_linear(values, train) -> np.ndarray:
    """Returns the mean of the piecewise-linear encoding with bins between quantiles of `train`."""
    train = np.sort(train[~np.isnan(train)])
    edges = np.quantile(train, np.linspace(0, 1, BINS + 1), method="inverted_cdf")
    widths = np.diff(edges)
    bins = np.clip(
        (values[:, np.newaxis] - edges[:-1]) / np.where(widths > 0, widths, 1.0), 0.0, 1.0
    )
    return np.where(widths > 0, bins, values[:, np.newaxis] > edges[:-1]).mean(axis=1)


def test_layout_names_every_column_of_the_packed_tensors(rich, rich_train, layout):
    assert layout == Layout(
        numeric=("area", "rooms", "flat", "income", "age", "day"),
        indicator=(
            "income:missing",
            "age:missing",
            "garden",
            "sold",
            "sold:missing",
            "day:year_sin",
            "day:year_cos",
            "day:week_sin",
            "day:week_cos",
            "day:missing",
        ),
        categorical=("city", "zone", "serial"),
    )
    count = len(rich.train_rows)
    assert rich_train[QUANTILE].shape == (count, len(layout.numeric))
    assert rich_train[SCALED].shape == (count, 2 * len(layout.numeric))
    assert rich_train[INDICATOR].shape == (count, len(layout.indicator))
    assert rich_train[CATEGORICAL].shape == (count, len(layout.categorical))


@pytest.mark.parametrize("name", ["area", "rooms", "flat", "income", "age", "day"])
def test_scaled_is_the_z_score_and_its_asinh_and_zero_where_missing(rich, rich_train, layout, name):
    values = numbers(rich.train_rows, name)
    expected = np.nan_to_num((values - np.nanmean(values)) / (np.nanstd(values) or 1.0))
    found = column(rich_train, layout, SCALED, name)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=2e-3)
    drawn_in = rich_train[SCALED][:, len(layout.numeric) + layout.numeric.index(name)]
    np.testing.assert_allclose(drawn_in, np.arcsinh(found), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["area", "rooms", "flat", "income", "age", "day"])
def test_quantile_is_the_piecewise_linear_encoding(rich, rich_train, layout, name):
    values = numbers(rich.train_rows, name)
    position = column(rich_train, layout, QUANTILE, name)
    present = ~np.isnan(values)
    assert np.all((position >= 0) & (position <= 1))
    assert np.all(position[~present] == 0.5)
    assert np.all(np.diff(position[present][np.argsort(values[present])]) >= 0)
    # Either of two neighbours may be the quantile, which among ties makes a difference of one bin.
    tolerance = 1.2 / BINS if name in ("rooms", "age") else 1e-2
    np.testing.assert_allclose(
        position[present], piecewise_linear(values[present], values), atol=tolerance
    )


@pytest.mark.parametrize("name", ["area", "income"])
def test_quantile_is_the_rank_of_a_number_without_ties(rich, rich_train, layout, name):
    values = numbers(rich.train_rows, name)
    present = ~np.isnan(values)
    ranks = np.argsort(np.argsort(values[present])) / (present.sum() - 1)
    position = column(rich_train, layout, QUANTILE, name)[present]
    np.testing.assert_allclose(position, ranks, atol=1.2 / BINS)


def test_the_position_jumps_where_many_rows_share_a_value(serve, typical, layout):
    rows = [{**typical, "rooms": rooms} for rooms in (1, 2, 3)]
    one, two, three = column(serve(rows), layout, QUANTILE, "rooms")
    assert one < two < three
    assert three - two > 0.5, "60 % of the rows have two rooms"


def test_indicators_mark_missing_values(rich, rich_train, layout):
    for name in ("income", "age", "day"):
        missing = np.isnan(numbers(rich.train_rows, name))
        assert 0 < missing.sum() < len(missing)
        np.testing.assert_array_equal(
            column(rich_train, layout, INDICATOR, f"{name}:missing"), missing
        )
    np.testing.assert_array_equal(
        column(rich_train, layout, INDICATOR, "sold:missing"),
        [row["sold"] is None for row in rich.train_rows],
    )


def test_an_unreadable_date_is_missing(serve, typical, layout):
    rows = [
        {**typical, "day": day}
        for day in (None, "", "soon", "12.10.2014", "2014-13-2", "2014-1-32")
    ]
    arrays = serve(rows)
    for part in ("year_sin", "year_cos", "week_sin", "week_cos"):
        assert not column(arrays, layout, INDICATOR, f"day:{part}").any()
    assert column(arrays, layout, INDICATOR, "day:missing").all()
    assert not column(arrays, layout, SCALED, "day").any()
    assert np.all(column(arrays, layout, QUANTILE, "day") == 0.5)


@pytest.mark.parametrize(
    "text",
    ["20141013T000000", "20141013", "2014/10/13", "2014-10-13T08:30:00Z", " 2014-10-13 8"],
)
def test_every_format_of_a_date_is_the_same_day(serve, typical, text):
    plain, other = ([{**typical, "day": day}] for day in ("2014-10-13", text))
    expected, found = serve(plain), serve(other)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_booleans_are_zero_or_one_in_every_spelling(rich, rich_train, serve, typical, layout):
    np.testing.assert_array_equal(
        column(rich_train, layout, INDICATOR, "garden"), [row["garden"] for row in rich.train_rows]
    )
    for texts, expected in (
        ((*rich_table.TRUE_TEXTS, "TRUE", "YES"), 1.0),
        ((*rich_table.FALSE_TEXTS, "FALSE", "f", None), 0.0),
    ):
        arrays = serve([{**typical, "sold": text} for text in texts])
        assert set(column(arrays, layout, INDICATOR, "sold")) == {expected}


def test_categories_are_indices_into_the_vocabulary_by_frequency(rich, rich_train, layout):
    for name, kept in (("city", 4), ("zone", 4)):
        feature = next(f for f in rich.features if f.name == name)
        raw = [row[name] for row in rich.train_rows]
        texts = [raw_columns.MISSING_TOKEN if value is None else str(value) for value in raw]
        counts = {text: texts.count(text) for text in set(texts)}
        index = column(rich_train, layout, CATEGORICAL, name)
        by_text = {text: set(index[[t == text for t in texts]]) for text in counts}
        known = {text: found for text, found in by_text.items() if max(found) < kept}
        assert sorted(number for found in known.values() for number in found) == list(range(kept))
        frequencies = [counts[text] for text in sorted(known, key=lambda text: min(known[text]))]
        assert frequencies == sorted(frequencies, reverse=True)
        rest = [number for text in by_text.keys() - known.keys() for number in by_text[text]]
        assert all(kept <= number < kept + feature.oov_buckets for number in rest)
        assert all(counts[text] <= min(frequencies) for text in by_text.keys() - known.keys())


def vocabulary_sizes(rich, layout) -> dict[str, int]:
    sizes = vocabularies.sizes(rich.output, len(layout.categorical))
    return dict(zip(layout.categorical, sizes, strict=True))


def test_a_missing_category_is_a_category(rich, rich_train, layout):
    missing = np.array([row["city"] is None for row in rich.train_rows])
    index = column(rich_train, layout, CATEGORICAL, "city")
    assert len(set(index[missing])) == 1
    assert not set(index[missing]) & set(index[~missing])


def test_a_column_without_a_frequent_value_is_out_of_vocabulary(rich, rich_train, layout):
    assert vocabulary_sizes(rich, layout)["serial"] == 0
    assert set(column(rich_train, layout, CATEGORICAL, "serial")) == {0}


def test_unseen_values_stay_in_range(rich, rich_train, serve, typical, layout):
    rows = [
        {**typical, "area": 1e30, "age": -(10**12), "city": "Atlantis", "zone": 1, "serial": "?"},
        {**typical, "area": -1e30, "age": 10**12, "city": "日本", "zone": -5, "day": "9999-12-31"},
    ]
    arrays = serve(rows)
    of_train = column(rich_train, layout, SCALED, "area")
    assert column(arrays, layout, SCALED, "area").tolist() == [of_train.max(), of_train.min()]
    assert column(arrays, layout, QUANTILE, "area").tolist() == [1.0, 0.0]
    assert column(arrays, layout, QUANTILE, "age").tolist() == [0.0, 1.0]
    assert column(arrays, layout, QUANTILE, "day")[1] == 1.0
    for feature in rich.features:
        if feature.kind == "categorical":
            size = vocabulary_sizes(rich, layout)[feature.name]
            index = column(arrays, layout, CATEGORICAL, feature.name)
            assert np.all((index >= size) & (index < size + feature.oov_buckets))


def test_serving_transforms_like_training(rich, rich_train, serve):
    without_label = [{k: v for k, v in row.items() if k != "price"} for row in rich.train_rows]
    arrays = serve(without_label)
    assert set(arrays) == {SCALED, QUANTILE, INDICATOR, CATEGORICAL}
    for name, array in arrays.items():
        np.testing.assert_allclose(array, rich_train[name], atol=1e-6)


def test_label_statistics_are_those_of_the_train_split(rich, rich_train):
    prices = numbers(rich.train_rows, "price")
    logs = np.log1p(prices)
    expected = [prices.mean(), prices.std(), logs.mean(), logs.std(), np.median(prices)]
    expected.append(prices.min())
    statistics = rich_train[packed_tensors.statistics_name(0)]
    np.testing.assert_allclose(statistics[0], expected, rtol=1e-2)
    np.testing.assert_allclose(statistics[0, :4], expected[:4], rtol=1e-5)
    assert np.all(statistics == statistics[0])
    evals = rich_table.read(rich.eval_files, rich.output.transformed_feature_spec())
    np.testing.assert_array_equal(evals[packed_tensors.statistics_name(0)][0], statistics[0])


def test_class_labels_are_text(binary, multiclass):
    for table in (binary, multiclass):
        arrays = rich_table.read(table.train_files, table.output.transformed_feature_spec())
        expected = sorted(str(row["outcome"]).encode() for row in table.train_rows)
        assert sorted(arrays[packed_tensors.LABEL].tolist()) == expected
        assert INDICATOR not in arrays, "a kind that no feature has is left out"


DATES = st.dates(datetime.date(1900, 1, 1), datetime.date(2100, 12, 31))


@examples(60)
@given(days=st.lists(DATES, min_size=2, max_size=20))
def test_dates_agree_with_the_calendar(serve, typical, layout, days):
    arrays = serve([{**typical, "day": day.isoformat()} for day in days])

    def phase(part: str, period: float) -> np.ndarray:
        sine, cosine = (
            column(arrays, layout, INDICATOR, f"day:{part}_{wave}") for wave in ("sin", "cos")
        )
        np.testing.assert_allclose(sine**2 + cosine**2, 1.0, atol=1e-5)
        return np.arctan2(sine, cosine) / (2 * np.pi) * period

    def apart(difference, period) -> np.ndarray:
        return (difference + period / 2) % period - period / 2

    passed = np.array([(day - days[0]).days for day in days])
    week, year = phase("week", 7.0), phase("year", 365.2425)
    np.testing.assert_allclose(apart(week - week[0] - passed, 7.0), 0, atol=1e-3)
    # In single precision a present-day date is accurate to a sixteenth of a day.
    np.testing.assert_allclose(apart(year - year[0] - passed, 365.2425), 0, atol=0.2)


@examples(60)
@given(first=st.dates(datetime.date(2004, 1, 1), datetime.date(2013, 12, 30)))
def test_dates_increase_by_one_each_day(rich, serve, typical, layout, first):
    days = numbers(rich.train_rows, "day")
    bounded = np.clip(first.toordinal(), np.nanmin(days), np.nanmax(days))
    [scaled] = column(serve([{**typical, "day": first.isoformat()}]), layout, SCALED, "day")
    assert scaled * np.nanstd(days) == pytest.approx(bounded - np.nanmean(days), abs=0.2)


@pytest.mark.parametrize("table", ["rich", "full"])
def test_the_columns_read_are_those_that_tft_finds_by_tracing(table, request):
    transformed = request.getfixturevalue(table)
    config = {
        "schema": text_format.MessageToString(transformed.schema),
        "columns": transformed.columns.for_transform().to_json(),
    }
    reader = tf_example_record.TFExampleBeamRecord(
        physical_format="inmem", telemetry_descriptors=["test"], schema=transformed.schema
    )
    specs = reader.TensorAdapter().OriginalTypeSpecs()

    def preprocess(inputs):
        return preprocessing.preprocessing_fn(inputs, config)

    traced = {
        column
        for columns in (tft.get_analyze_input_columns, tft.get_transform_input_columns)
        for column in columns(preprocess, specs, force_tf_compat_v1=True)
    }
    assert sorted(preprocessing.columns_read(config)) == sorted(traced)
