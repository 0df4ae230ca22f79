"""Tests of `model.params` against the dataclass that declares them."""

import dataclasses

import pytest

from models.toolbox.params import Count, NotNegative, Positive, Share, parse_params


@dataclasses.dataclass(frozen=True)
class Params:
    units: tuple[int, ...]
    rate: float = 0.5
    depth: int = 2
    wide: bool = True
    activation: str = "relu"
    steps: tuple[float, ...] = dataclasses.field(default_factory=lambda: (1.0,))


def test_defaults_apply_and_the_context_is_ignored():
    params = parse_params(Params, {"units": [8, 4], "context": object()})
    assert params == Params(units=(8, 4), rate=0.5, depth=2, wide=True, steps=(1.0,))


def test_every_type_is_accepted():
    values = {
        "units": (1,), "rate": 1, "depth": 3, "wide": False, "activation": "elu", "steps": [1, 2.5]
    }  # fmt: skip
    params = parse_params(Params, values)
    assert params == Params((1,), 1.0, 3, False, "elu", (1.0, 2.5))
    assert isinstance(params.rate, float) and isinstance(params.steps[0], float)


def test_optional_parameters_may_be_none():
    @dataclasses.dataclass(frozen=True)
    class Open:
        rate: float | None = None

    assert parse_params(Open, {}).rate is None
    assert parse_params(Open, {"rate": None}).rate is None
    assert parse_params(Open, {"rate": 1}).rate == 1.0
    with pytest.raises(ValueError, match="model.params.rate: expected float, found 'x'"):
        parse_params(Open, {"rate": "x"})


@pytest.mark.parametrize(
    "values, message",
    [
        ({"rat": 1.0}, "model.params.rat: unknown parameter; did you mean rate? (known: units,"),
        ({"zzz": 1.0}, "model.params.zzz: unknown parameter (known: units, rate, depth, wide,"),
        ({"rate": "fast"}, "model.params.rate: expected float, found 'fast'"),
        ({"rate": True}, "model.params.rate: expected float, found True"),
        ({"rate": None}, "model.params.rate: expected float, found None"),
        ({"depth": 2.0}, "model.params.depth: expected int, found 2.0"),
        ({"depth": False}, "model.params.depth: expected int, found False"),
        ({"wide": 1}, "model.params.wide: expected bool, found 1"),
        ({"activation": 3}, "model.params.activation: expected str, found 3"),
        ({"units": 8}, "model.params.units: expected a list, found 8"),
        ({"units": "88"}, "model.params.units: expected a list, found '88'"),
        ({"units": [8, "x"]}, "model.params.units[1]: expected int, found 'x'"),
        ({}, "model.params.units: missing; the model has no default for it"),
    ],
)
def test_an_unsuitable_parameter_is_refused(values, message):
    with pytest.raises(ValueError) as refusal:
        parse_params(Params, {"units": [1], **values} if values else {})
    assert message in str(refusal.value)


@dataclasses.dataclass(frozen=True)
class Bounded:
    units: tuple[Count, ...] = ()
    rate: Positive = 1.0
    decay: NotNegative = 0.0
    dropout: Share | None = None


def test_bounds_are_checked_at_their_ends():
    values = {"units": [1], "rate": 1e-9, "decay": 0, "dropout": 0}
    assert parse_params(Bounded, values) == Bounded((1,), 1e-9, 0.0, 0.0)
    assert parse_params(Bounded, {"dropout": None}).dropout is None


@pytest.mark.parametrize(
    "values, message",
    [
        ({"units": [8, 0]}, "units[1]: expected a whole number above zero, found 0"),
        ({"units": [1.0]}, "units[0]: expected int, found 1.0"),
        ({"rate": 0}, "rate: expected a number above zero, found 0"),
        ({"rate": float("inf")}, "rate: expected a number above zero, found inf"),
        ({"decay": -1e-9}, "decay: expected a number of zero or more, found -1e-09"),
        ({"decay": float("nan")}, "decay: expected a number of zero or more, found nan"),
        ({"dropout": 1}, "dropout: expected a number from 0 to below 1, found 1"),
        ({"dropout": "much"}, "dropout: expected float, found 'much'"),
    ],
)
def test_a_number_out_of_bounds_is_refused(values, message):
    with pytest.raises(ValueError) as refusal:
        parse_params(Bounded, values)
    assert str(refusal.value) == f"model.params.{message}"
