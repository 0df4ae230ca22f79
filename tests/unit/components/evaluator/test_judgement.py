"""Tests of the judgement's JSON, of the bands of slices and of a run's bounds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.evaluator.judgement import Bound, Judgement, Slice

text = st.text(max_size=9)
number = st.floats(-1e9, 1e9, allow_nan=False).map(lambda value: float(f"{value:.12g}"))
slices = st.builds(
    Slice,
    column=text.filter(lambda column: " in bands " not in column),
    bands=st.lists(number, max_size=4, unique=True).map(sorted).map(tuple),
    gated=st.booleans(),
)
bounds = st.builds(Bound, text, text, st.booleans(), st.none() | number, st.none() | number)


@settings(deadline=None)
@given(
    st.builds(
        Judgement,
        metrics=st.dictionaries(text, st.lists(text, max_size=3).map(tuple), max_size=3),
        bounds=st.lists(bounds, max_size=3).map(tuple),
        slices=st.lists(slices, max_size=3).map(tuple),
    )
)
def test_json_gives_the_judgement_back(judgement):
    assert Judgement.from_json(judgement.to_json()) == judgement


@settings(deadline=None)
@given(slices)
def test_the_key_gives_column_and_bands_back(part):
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
def test_a_band_holds_its_lower_edge_and_not_its_upper_one(value, band):
    assert Slice("price", (250000.0, 500000.5)).band(value) == band


@settings(deadline=None)
@given(st.lists(number, min_size=1, max_size=4, unique=True).map(sorted), number)
def test_bands_rise_with_the_value(bands, value):
    part = Slice("x", tuple(bands))
    order = [part.band(bands[0] - 1), *(part.band(edge) for edge in bands)]
    assert len(set(order)) == len(bands) + 1
    assert part.band(value) == order[sum(value >= edge for edge in bands)]


RMSE = Bound("rmse", "RMSE", True, 100.0, 0.05)
SKILL = Bound("skill", "skill", False, None, None)


def judgement() -> Judgement:
    return Judgement({"price": ("rmse", "skill")}, (RMSE, SKILL), ())


def test_a_run_may_give_bounds_other_values():
    found = judgement().with_gates('{"skill": {"at_least": 0.9}}')
    assert found.bounds == (RMSE, Bound("skill", "skill", False, 0.9, None))
    found = judgement().with_gates('{"rmse": {"at_most": 50}}')
    assert found.bounds == (Bound("rmse", "RMSE", True, 50, None), SKILL)
    assert judgement().with_gates("{}") == judgement()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rmse", "gates: expected JSON"),
        ("[1]", "gates: expected JSON"),
        ('{"rmse": 5}', "gates: expected JSON"),
        ('{"mae": {"at_most": 5}}', r"gates: mae has no bound \(there are: rmse, skill\)"),
        ('{"rmse": {"at_least": 5}}', "gates: rmse: found at_least, expected at_most"),
        ('{"rmse": {"at_most": "5"}}', "gates: rmse: at_most: expected a number, found '5'"),
        ('{"rmse": {"at_most": true}}', "gates: rmse: at_most: expected a number, found True"),
        ('{"rmse": {"at_most": NaN}}', "expected a finite number"),
        ('{"rmse": {"may_worsen_by": 2}}', "expected a share"),
        ('{"rmse": {"may_worsen_by": 0.1}}', "no absolute bound is left"),
    ],
)
def test_wrong_bounds_of_a_run_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        judgement().with_gates(text)
