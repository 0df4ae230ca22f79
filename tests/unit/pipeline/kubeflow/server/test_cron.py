"""Tests that converted cron expressions mean the same to Kubeflow's scheduler."""

import datetime

import pytest
from croniter import CroniterBadDateError, croniter
from hypothesis import assume, given
from hypothesis import strategies as st
from pipelines_server import robfig
from properties import examples

from models.errors import UserError
from pipeline.kubeflow.server import cron

NOW = datetime.datetime(2026, 11, 25, 9, 0, tzinfo=datetime.timezone.utc)
MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec"
DAYS = "sun mon tue wed thu fri sat"


@pytest.mark.parametrize(
    ("text", "six"),
    [
        ("0 3 * * *", "0 0 3 * * *"),
        ("@daily", "0 0 0 * * *"),
        ("@weekly", "0 0 0 * * 0"),
        ("*/15 8-18 * * MON-fri", "0 */15 8-18 * * 1-5"),
        ("0 3 * * 7", "0 0 3 * * 0"),
        ("0 22-23,0-2 * * *", "0 0 0-2,22,23 * * *"),
        ("0 3 * * fri-sun", "0 0 3 * * 0,5,6"),
        ("0 3 1 * 0-6", "0 0 3 1 * 0-6"),
        ("3-3 3 * * 7-7", "0 3 3 * * 0"),
        ("0 3 ? * *", "0 0 3 * * *"),
        ("0 3 */2 * *", "0 0 3 1-31/2 * *"),
        ("5/20 * 1,15 jan/3 *", "0 5-45/20 * 1,15 */3 *"),
    ],
)
def test_five_fields_become_six(text, six):
    assert cron.to_six_fields(text) == six


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("61 3 * * *", "minute '61': expected *, values of 0 to 59,"),
        ("0 24 * * *", "hour '24': expected *, values of 0 to 23,"),
        ("0 3 0 * *", "day of month '0': expected *, values of 1 to 31,"),
        ("0 3 * foo *", "month 'foo': expected *, values of 1 to 12,"),
        ("0 3 * * 8", "day of week '8': expected *, values of 0 to 7,"),
        ("0 3 * * mon#2", "day of week 'mon#2': Kubeflow's cron does not support #"),
        ("0 3 L * *", "day of month 'L': Kubeflow's cron does not support L"),
        ("0 3 15W * *", "day of month '15W': Kubeflow's cron does not support W"),
        ("H 3 * * *", "minute 'H': Kubeflow's cron does not support H"),
        ("0 22-2 * * *", "hour '22-2': 22-2 runs backwards; write it as two ranges, a-b,c-d"),
        ("0 3 * * fri-mon", "day of week 'fri-mon': fri-mon runs backwards"),
        ("? 3 * * *", "minute '?': ? is only for days; write *"),
        ("0 3 */2 * mon", "*/2 with another restricted day"),
        ("0 3 30 2 *", "matches no day in the next 5 years"),
        ("0 0 3 * * *", "found six fields, expected five"),
        ("0 3 * *", "expected five fields (minute, hour, day of month, month, day of week), found"),
        ("@dayly", "unknown short form; did you mean @daily?"),
    ],
)
def test_a_wrong_expression_is_one_line(text, message):
    with pytest.raises(UserError) as caught:
        cron.to_six_fields(text)
    assert str(caught.value).startswith(f"--cron {text!r}: {message}")
    assert "\n" not in str(caught.value)


def test_firing_times_are_in_the_clusters_time_zone():
    six = cron.to_six_fields("0 3 * * *")
    utc, berlin = cron.firing_times(six, NOW), cron.firing_times(six, NOW, zone="Europe/Berlin")
    assert [time.isoformat() for time in utc] == [
        "2026-11-26T03:00:00+00:00",
        "2026-11-27T03:00:00+00:00",
        "2026-11-28T03:00:00+00:00",
    ]
    assert berlin[0].isoformat() == "2026-11-26T03:00:00+01:00"
    with pytest.raises(UserError, match="--timezone Berlin: unknown"):
        cron.firing_times(six, NOW, zone="Berlin")


def test_the_next_time_of_any_expression_on_the_server():
    # The scheduler reads five fields as seconds to month: the third minute of every hour.
    assert cron.next_time("0 3 * * *", NOW) == NOW.replace(minute=3)
    assert cron.next_time("@every 1h", NOW) is None
    assert cron.next_time("0 0 3 * * 9", NOW) is None


def field(low, high, names=""):
    number = st.integers(low, high).map(str)
    names = names.split()
    value = st.one_of(number, st.sampled_from(names)) if names else number
    # croniter reads 3-3 as everything and wraps 5-3 around, which no crontab does.
    ends = st.tuples(st.integers(low, high), st.integers(low, high))
    span = ends.filter(lambda pair: pair[0] < pair[1]).map(lambda pair: f"{pair[0]}-{pair[1]}")
    step = st.integers(1, high).map(str)
    part = st.one_of(
        value,
        span,
        st.tuples(span, step).map("/".join),
        st.tuples(st.just("*"), step).map("/".join),
    )
    return st.one_of(st.just("*"), st.lists(part, min_size=1, max_size=3).map(",".join))


EXPRESSIONS = st.tuples(
    field(0, 59), field(0, 23), field(1, 31), field(1, 12, MONTHS), field(0, 7, DAYS)
).map(" ".join)


@examples(300)
@given(text=EXPRESSIONS, minutes=st.integers(0, 3 * 366 * 24 * 60))
def test_any_expression_fires_when_crontab_does(text, minutes):
    start = NOW + datetime.timedelta(minutes=minutes)
    try:
        six = cron.to_six_fields(text)
        theirs = croniter(text, start, ret_type=datetime.datetime)
        expected = [theirs.get_next() for _ in range(3)]
    except (UserError, CroniterBadDateError):
        assume(False)
    assert cron.firing_times(six, start) == expected
    # By the scheduler's own rules, too, as croniter may misread five and six fields alike.
    schedule, time = robfig.Schedule(six), start
    for wanted in expected:
        time = schedule.next(time)
        assert time == wanted
