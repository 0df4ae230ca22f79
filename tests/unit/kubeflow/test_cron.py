"""Cron: five fields in, six out, the same firing times."""

import datetime

import pytest
from croniter import croniter
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.kubeflow.cron import firing_times, six_fields

START = datetime.datetime(2026, 2, 27, 22, 30)


@pytest.mark.parametrize(
    ("five", "six"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("*/15 * * * *", "0 0,15,30,45 * * * *"),
        ("30 4 * * mon-fri", "0 30 4 * * 1,2,3,4,5"),
        ("0 0 1 jan *", "0 0 0 1 1 *"),
        ("0 3 * * 7", "0 0 3 * * 0"),
        ("@daily", "0 0 0 * * *"),
        ("@hourly", "0 0 * * * *"),
    ],
)
def test_seconds_come_first(five, six):
    assert six_fields(five) == six


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("", "found 0 fields, expected five (minute, hour, day of the month, month"),
        ("0 3 * *", "found 4 fields"),
        ("0 0 3 * * *", "found 6 fields, expected five .*leave out the seconds"),
        ("61 3 * * *", "61 3 .*out of range"),
        ("0 24 * * *", "out of range"),
        ("0 3 32 * *", "out of range"),
        ("0 3 * 13 *", "out of range"),
        ("0 3 * * noday", "not acceptable"),
        ("0 3 L * *", "does not know 'L'"),
        ("0 3 * * 1#2", "does not know '#'"),
        ("0 3 15W * *", "does not know 'W'"),
        ("@never", "expected for example"),
    ],
)
def test_a_wrong_expression_is_refused_in_a_line(wrong, message):
    with pytest.raises(UserError, match=message.replace("(", r"\(")) as error:
        six_fields(wrong)
    assert "\n" not in str(error.value)


def field(low: int, high: int):
    number = st.integers(low, high)
    spans = st.tuples(number, number).map(lambda pair: "{}-{}".format(*sorted(pair)))
    steps = st.integers(2, max(high - low, 2)).map(lambda step: f"*/{step}")
    return (
        st.just("*")
        | st.lists(number.map(str) | spans, min_size=1, max_size=3).map(",".join)
        | steps
    )


expressions = st.tuples(field(0, 59), field(0, 23), st.just("*"), field(1, 12), field(0, 7)).map(
    " ".join
)


@given(expressions)
def test_it_fires_when_the_five_fields_do(five):
    theirs = croniter(five, START)
    expected = [theirs.get_next(datetime.datetime) for _ in range(3)]
    assert firing_times(six_fields(five), START) == expected
