"""Tests of arithmetic over columns: what is allowed, and that results agree with Python's."""

import math
import operator
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import example, given
from hypothesis import strategies as st
from properties import examples

from models.features import expressions, number_features

NAMES = {"a": 3.0, "b": -0.5, "c": 0.0, "d": 1e6}
PYTHON: dict[str, Any] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": lambda a, b: math.pow(a, b),
    "negative": operator.neg,
    "log1p": math.log1p,
    "sqrt": math.sqrt,
    "abs": abs,
    "min": min,
    "max": max,
}


def by_python(text: str) -> float:
    """Returns Python's result as a float; NaN if it raises or the result is complex or infinite."""
    called = (math.log1p, math.sqrt, abs, min, max)
    functions = {function.__name__: _of_numbers(function) for function in called}
    try:
        value = eval(text, {**functions, "__builtins__": {}}, dict(NAMES))
    except (ArithmeticError, ValueError):
        return math.nan
    return float(value) if not isinstance(value, complex) and math.isfinite(value) else math.nan


def _of_numbers(function):
    """Returns a function that refuses complex arguments, whose absolute value would be real."""

    def checked(*arguments):
        if any(isinstance(argument, complex) for argument in arguments):
            raise ValueError("complex")
        return function(*arguments)

    return checked


def by_transform(text: str) -> float:
    """Returns the result with tensors, as in preprocessing."""
    value = expressions.parse(text).evaluate(
        lambda name: tf.constant([NAMES[name]], tf.float64),
        lambda number: tf.constant([number], tf.float64),
        number_features._step,
    )
    return float(value[0])


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("a", ("a",)),
        (" 'Gr Liv Area' / \"b\" ", ("Gr Liv Area", "b")),
        ("a + b * a - +c", ("a", "b", "c")),
        ("min(a, 2, -b) ** log1p(c)", ("a", "b", "c")),
        ("größe * 2", ("größe",)),
        ("min + 1", ("min",)),
    ],
)
def test_columns_are_listed_in_order(text, columns):
    assert expressions.parse(text).columns == columns


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("a +", "found 'a +', expected columns"),
        ("Gr Liv Area", "found 'Gr Liv Area', expected columns (in quotes if the name is not a"),
        ("a.b", "found 'a.b', expected columns"),
        ("a // b", "found 'a // b', expected columns"),
        ("a if b else c", "found 'a if b else c', expected"),
        ("[a]", "found '[a]', expected"),
        ("a[0]", "found 'a[0]', expected"),
        ("a < b", "found 'a < b', expected"),
        ("not a", "found 'not a', expected"),
        ("~a", "found '~a', expected"),
        ("lambda x: a", "found 'lambda x: a', expected"),
        ("(b := a)", "found '(b := a)', expected"),
        ("f'{a}'", "found \"f'{a}'\", expected"),
        ("a + True", "found 'True', expected"),
        ("a + None", "found 'None', expected"),
        ("a + 1j", "found '1j', expected"),
        ("a + ''", "found \"''\", expected"),
        ("a + b'x'", "found \"b'x'\", expected"),
        ("exp(a)", "found 'exp(a)', expected"),
        ("a.b(c)", "found 'a.b(c)', expected"),
        ("__import__('os')", "found \"__import__('os')\", expected"),
        ("min(a, key=b)", "found 'min(a, key=b)', expected"),
        ("min(*a, b)", "found '*a', expected"),
        ("max(a)", "found 'max(a)', expected two or more arguments to max()"),
        ("sqrt(a, b)", "found 'sqrt(a, b)', expected one argument to sqrt()"),
        ("1 + 2", "found '1 + 2', expected at least one column"),
        ("a * 1e999", "found a number beyond 1.8e308"),
        (f"a * 1{'0' * 400}", "found a number beyond 1.8e308"),
        ("-" * 300 + "a", "is nested too deeply; expected at most 200 levels"),
        ("(" * 5000 + "a", "found '((("),
        ("a\0", "found 'a\\x00', expected"),
        ("a; b", "found 'a; b', expected"),
        ("", "found '', expected"),
        ("a\nb", "found 'a\\nb', expected"),
    ],
)
def test_everything_else_is_refused_in_one_line(text, start):
    with pytest.raises(ValueError) as refusal:
        expressions.parse(text)
    message = str(refusal.value)
    assert message[: len(start)] == start
    assert message.isprintable()


@examples(400)
@given(st.one_of(st.text(max_size=20), st.text("ab()+-*/'\"12.,e _min\\\n", max_size=30)))
def test_any_text_is_parsed_or_refused(text):
    try:
        expression = expressions.parse(text)
    except ValueError as error:
        assert str(error).isprintable()
    else:
        assert expression.columns


_LEAVES = st.one_of(
    st.sampled_from(list(NAMES)),
    st.integers(0, 1000).map(float).map(repr),
    st.floats(0, 1e10).map(repr),
)


def _combined(inner):
    two = st.tuples(inner, st.sampled_from(["+", "-", "*", "/", "**"]), inner)
    return st.one_of(
        two.map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"(-{one})"),
        st.tuples(st.sampled_from(["log1p", "sqrt", "abs"]), inner).map(
            lambda p: f"{p[0]}({p[1]})"
        ),
        st.tuples(st.sampled_from(["min", "max"]), inner, inner).map(
            lambda p: f"{p[0]}({p[1]}, {p[2]})"
        ),
    )


@examples(200)
@given(st.recursive(_LEAVES, _combined, max_leaves=8))
@example("(-abs((b ** b)))")
@example("(-log1p((b ** b)))")
def test_values_agree_with_python(text):
    try:
        expression = expressions.parse(text)
    except ValueError as error:
        assert "at least one column" in str(error)
        return
    expected = by_python(text)
    folded = _fold(expression)
    found = by_transform(text)
    np.testing.assert_equal(math.isnan(found), math.isnan(folded))
    if not math.isnan(expected):
        assert folded == pytest.approx(expected, rel=1e-9)
        # Cancellation magnifies the last digit, in which two logarithms may differ.
        assert found == pytest.approx(folded, rel=1e-6, abs=1e-6)


def _fold(expression) -> float:
    def step(name, arguments):
        if any(map(math.isnan, arguments)):
            return math.nan
        try:
            value = PYTHON[name](*arguments)
        except (ArithmeticError, ValueError):
            return math.nan
        return value if math.isfinite(value) else math.nan

    return expression.evaluate(NAMES.__getitem__, float, step)


@pytest.mark.parametrize(
    "text", ["1 / c", "min(1 / c, 2)", "(1 / c) ** 0", "1 ** sqrt(b)", "1 / (1 / c)", "log1p(-a)"]
)
def test_missing_values_stay_missing(text):
    assert math.isnan(by_transform(text))
