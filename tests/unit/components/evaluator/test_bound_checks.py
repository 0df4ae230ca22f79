"""Tests of the checks of bounds, and of the sentences on them."""

import math

import pytest

from components.evaluator import bound_checks
from components.evaluator.bounds import Bound


@pytest.mark.parametrize(
    ("metric", "absolute", "value", "passed"),
    [
        ("rmse", 5.0, 5.0, True),
        ("rmse", 5.0, 5.1, False),
        ("rmse", 5.0, math.nan, False),
        ("accuracy", 0.5, 0.5, True),
        ("accuracy", 0.5, math.nan, False),
        ("skill", None, 0.01, True),
        ("skill", None, 0.009, False),
        ("skill", None, math.nan, False),
        ("skill", -5.0, -1.0, False),
        ("auc", 0.505, 0.507, False),  # met, but too close to what a constant reaches
        ("auc", 0.7, 0.7, True),
        ("auc", 0.7, 0.69, False),
    ],
)
def test_an_absolute_bound_also_requires_more_than_a_constant(metric, absolute, value, passed):
    first, *_ = bound_checks.absolute_lines(Bound(metric, absolute, None), {metric: value})
    assert first.passed is passed


@pytest.mark.parametrize(
    ("metric", "absolute", "value", "text"),
    [
        ("skill", 0.1, math.nan, "skill is nan; it must be at least 0.1"),
        # As many digits as it takes to see which of the two is greater.
        ("rmse", 115000.0, 115000.3, "RMSE is 115,000.3; it must be at most 115,000"),
        ("rmse", 115000.0, 114999.99, "RMSE is 114,999.99; it must be at most 115,000"),
        ("rmse", 1000.0, 999.98, "RMSE is 999.98; it must be at most 1,000"),
        ("rmsle", 0.165, 0.165001, "RMSLE is 0.165001; it must be at most 0.165"),
        ("auc", 0.71, 0.70999996, "AUC is 0.70999996; it must be at least 0.71"),
        ("auc", 0.7, 0.7, "AUC is 0.7; it must be at least 0.7"),
        # The limit that counts is printed, not one that is met.
        ("auc", 0.507, 0.5067,
         "AUC is 0.5067; it must be at least 0.51, as a constant predictor reaches 0.5"),
        ("auc", 0.505, 0.5099999,
         "AUC is 0.5099999; it must be at least 0.51, as a constant predictor reaches 0.5"),
    ],
)  # fmt: skip
def test_a_reader_sees_which_bounds_are_met(metric, absolute, value, text):
    first, *_ = bound_checks.absolute_lines(Bound(metric, absolute, None), {metric: value})
    assert first.text == text


@pytest.mark.parametrize(
    ("metric", "value", "constant", "gain", "text"),
    [
        ("rmse", 28.0, 100.0, 0.72,
         "RMSE of a constant predictor is 100; the model's is 72% lower"),
        ("rmse", 99.5, 100.0, 0.005,
         "RMSE of a constant predictor is 100; the model's is 99.5, but must be at least 1% lower"),
        ("accuracy", 0.8, 0.5, 0.6,
         "accuracy of a constant predictor is 0.5; the model's is 0.8, 60% fewer errors"),
        ("accuracy", 0.50001, 0.5, 2e-5,
         "accuracy of a constant predictor is 0.5; the model's is 0.50001, at least 1% fewer "
         "errors are required"),
    ],
)  # fmt: skip
def test_a_constant_predictor_is_beaten_by_a_margin(metric, value, constant, gain, text):
    names = (metric, f"{metric}_of_constant", f"{metric}_gain")
    values = dict(zip(names, (value, constant, gain)))
    line = bound_checks.absolute_lines(Bound(metric, None, 0.1), values)[-1]
    assert line == (gain >= 0.01, text)


NORTH = ("area", "north")


def change_lines(metric, may_worsen_by, value, before, part=NORTH) -> list[bound_checks.Line]:
    """Checks a change in a slice; overall, nothing changes unless `part` is ()."""
    candidate, baseline = (
        {(): {metric: 1.0, "example_count": 9.0}, part: {metric: x, "example_count": 4.0}}
        for x in (value, before)
    )
    slices = [part] if part else []
    return bound_checks.change_lines(
        Bound(metric, None, may_worsen_by), slices, candidate, baseline
    )


@pytest.mark.parametrize(
    ("value", "before", "part", "passed"),
    [
        (1.0, 1.0, (), True),
        (1.09, 1.0, (), True),
        (1.11, 1.0, (), False),
        (1.0, math.nan, (), False),
        (1.0, math.inf, (), False),
        (math.nan, 1.0, (), False),
        (math.nan, math.nan, (), False),
        (1.0, math.nan, NORTH, False),
        (math.nan, math.nan, NORTH, True),
        (math.nan, 1.0, NORTH, False),
    ],
)
def test_a_change_bound_that_cannot_be_checked_is_not_met(value, before, part, passed):
    lines = change_lines("rmse", 0.1, value, before, part)
    assert all(line.passed for line in lines) is passed


@pytest.mark.parametrize(
    ("metric", "may_worsen_by", "value", "before", "text"),
    [
        ("rmse", 0.05, 1.05, 1.0,
         "RMSE is at most 5% above the baseline's in every gated slice (1)"),
        ("auc", 0.02, 0.89, 0.9,
         "AUC is at most 0.02 below the baseline's in every gated slice (1)"),
        ("rmse", 0.05, 105.001, 100.0,
         "RMSE where area is north (4 examples) is 105.001, the baseline's is 100 (+5.0%); "
         "it may rise by 5%, to 105"),
        ("auc", 0.0005, 0.8, 0.9,
         "AUC where area is north (4 examples) is 0.8, the baseline's is 0.9; "
         "it may fall by 0.0005, to 0.8995"),
    ],
)  # fmt: skip
def test_a_change_names_slice_value_and_limit(metric, may_worsen_by, value, before, text):
    overall, in_slice = change_lines(metric, may_worsen_by, value, before)
    assert overall.passed and in_slice.text == text
