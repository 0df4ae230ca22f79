"""What a model is judged by: plain data, and the bands of a slice."""

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
