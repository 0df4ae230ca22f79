"""Tests of the criteria's JSON, of the bands of slices and of a run's bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator.bounds import Bound
from components.evaluator.criteria import Criteria, Slice

text = st.text(max_size=9)
number = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: float(f"{value:.12g}"))
slices = st.builds(
    Slice,
    column=text.filter(lambda column: " in bands " not in column),
    bands=st.lists(number, max_size=4, unique=True).map(sorted).map(tuple),
    gated=st.booleans(),
)
bounds = st.builds(Bound, text, st.none() | number, st.none() | number)


@settings(deadline=None)
@given(
    st.builds(
        Criteria,
        metrics=st.dictionaries(text, st.lists(text, max_size=3).map(tuple), max_size=3),
        bounds=st.lists(bounds, max_size=3).map(tuple),
        slices=st.lists(slices, max_size=3).map(tuple),
    )
)
def test_criteria_survive_json(criteria):
    assert Criteria.from_json(criteria.to_json()) == criteria


@settings(deadline=None)
@given(slices)
def test_a_key_holds_column_and_bands(part):
    back = Slice.of_key(part.key)
    assert (back.column, back.bands) == (part.column, part.bands)


@pytest.mark.parametrize(
    "value, band",
    [
        (-1e9, "below 250000"),
        (249999.99, "below 250000"),
        (250000, "250000 to 500000.5"),
        (500000.49, "250000 to 500000.5"),
        (500000.5, "500000.5 and above"),
        (1e12, "500000.5 and above"),
    ],
)
def test_a_band_includes_its_lower_edge_but_not_its_upper_one(value, band):
    assert Slice("price", (250000.0, 500000.5)).band(value) == band


@settings(deadline=None)
@given(st.lists(number, min_size=1, max_size=4, unique=True).map(sorted), number)
def test_bands_rise_with_the_value(bands, value):
    part = Slice("x", tuple(bands))
    order = [part.band(bands[0] - 1), *(part.band(edge) for edge in bands)]
    assert len(set(order)) == len(bands) + 1
    assert part.band(value) == order[sum(value >= edge for edge in bands)]


RMSE = Bound("rmse", 100.0, 0.05)
SKILL = Bound("skill", None, None)


def criteria() -> Criteria:
    metrics = {"price": ("rmse", "skill", "coverage"), "sea": ("auc",)}
    return Criteria(
        metrics, (RMSE, SKILL, Bound("coverage", 0.8, None), Bound("sea/auc", 0.7, None)), ()
    )


def test_a_run_may_replace_the_values_of_bounds():
    _, _, *others = criteria().bounds
    replaced = criteria().with_gates('{"skill": {"at_least": 0.9}}')
    assert replaced.bounds == (RMSE, Bound("skill", 0.9, None), *others)
    replaced = criteria().with_gates('{"rmse": {"at_most": 50}}')
    assert replaced.bounds == (Bound("rmse", 50.0, None), SKILL, *others)
    assert criteria().with_gates("{}") == criteria()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rmse", "gates: found 'rmse', expected JSON such as"),
        ("[1]", "gates: found '[1]', expected JSON such as"),
        ('{"rmse": 5}', "gates: rmse: expected keys and values, found 5"),
        ('{"rmse": null}', "gates: rmse: is empty; give a value or remove the key"),
        ('{"mae": {"at_most": 5}}', "gates: mae: has no bound (known: rmse, skill, "),
        ('{"rmse": {"at_mst": 5}}', "gates: rmse.at_mst: unknown key; did you mean at_most?"),
        ('{"rmse": {"at_least": 5}}', "found at_least, but a lower RMSE is better: write at_most"),
        ('{"rmse": {"at_most": "x"}}', 'gates: rmse.at_most: expected a number, found "x"'),
        ('{"rmse": {"at_most": true}}', "gates: rmse.at_most: expected a number, found true"),
        ('{"rmse": {"at_most": NaN}}', "expected a finite number, found NaN"),
        ('{"rmse": {"at_most": -1}}', "gates: rmse.at_most: found -1, expected 0 or more: no RMSE"),
        ('{"skill": {"at_least": 9}}', "gates: skill.at_least: found 9, expected 1 or less"),
        ('{"sea/auc": {"at_least": 9}}', "no sea AUC is above 1"),
        (
            '{"rmse": {"at_most": 5, "may_worsen_by": 2}}',
            "expected a share of the baseline's value",
        ),
        ('{"sea/auc": {"may_worsen_by": 2}}', "expected a difference from the baseline's value"),
        ('{"rmse": {"may_worsen_by": 0.1}}', "no absolute bound on the predictions of price"),
        ('{"skil": {}, "rmse": {"at_most": -1}}', "did you mean skill? (known: rmse, skill, cov"),
        ('{"skil": {}, "rmse": {"at_most": -1}}', "; rmse.at_most: found -1"),
    ],
)
def test_wrong_bounds_of_a_run_are_refused(text, message):
    with pytest.raises(ValueError) as error:
        criteria().with_gates(text)
    assert message in str(error.value)
