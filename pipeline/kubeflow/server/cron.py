"""Conversion of cron expressions from the usual five fields to Kubeflow Pipelines' six.

Kubeflow's scheduler parses them with Go's robfig/cron, which expects seconds first, accepts only 0
for Sunday, refuses ranges that wrap around, and does not support `#`, `L` or `W`. So each field is
expanded to its values and written anew.
"""

import datetime
import itertools
import re
import zoneinfo
from collections.abc import Mapping, Sequence

from croniter import CroniterBadDateError, CroniterError, croniter

from models.errors import UserError, nearest

_FIELDS = (
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of month", 1, 31),
    ("month", 1, 12),
    ("day of week", 0, 6),
)
_DAY, _WEEKDAY = 2, 4
_SHORT = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
# Syntax of other crons, which croniter supports or, worse, silently ignores.
_FOREIGN = {"#": "#", "l": "L", "w": "W", "h": "H", "r": "R"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_NUMBERS = {
    "month": {name: number for number, name in enumerate(_MONTHS, 1)},
    "day of week": {name: number for number, name in enumerate(_WEEKDAYS)},
}
# Years that robfig/cron looks ahead.
_YEARS = 5


def to_six_fields(text: str) -> str:
    """Converts five fields, or a short form such as `@daily`, to Kubeflow's six, seconds first.

    Args:
        text: minute, hour, day of month, month and day of week, as in a crontab.

    Raises:
        UserError: a field is wrong, or no day matches the expression.
    """
    fields = _split(text)
    values = [_values(text, position, field) for position, field in enumerate(fields)]
    restricted = [fields[at] for at in (_DAY, _WEEKDAY) if fields[at] not in ("*", "?")]
    starred = [field for field in restricted if "*" in field or "?" in field]
    if len(restricted) == 2 and starred:
        raise UserError(
            f"--cron {text!r}: {starred[0]} with another restricted day: crons disagree on whether "
            "one or both must match; list the days instead"
        )
    six = " ".join(
        ["0", *(_written(*field, field_values) for field, field_values in zip(_FIELDS, values))]
    )
    try:
        firing_times(six, datetime.datetime(2024, 1, 1, tzinfo=datetime.timezone.utc), count=1)
    except CroniterBadDateError:
        raise UserError(f"--cron {text!r}: matches no day in the next {_YEARS} years") from None
    return six


def firing_times(
    six: str, after: datetime.datetime, count: int = 3, zone: str = "UTC"
) -> list[datetime.datetime]:
    """Returns the next times at which an expression fires.

    Args:
        six: the expression, with six fields.
        after: a time with a time zone.
        count: the number of times.
        zone: the time zone in which the cluster evaluates schedules, as `Europe/Berlin`.

    Raises:
        UserError: the zone is unknown.
        CroniterError: the expression is invalid or never fires.
    """
    times = croniter(
        six,
        after.astimezone(_zone(zone)),
        ret_type=datetime.datetime,
        second_at_beginning=True,
        max_years_between_matches=_YEARS,
    )
    return [times.get_next() for _ in range(count)]


def next_time(cron: str, after: datetime.datetime, zone: str = "UTC") -> datetime.datetime | None:
    """Returns when an expression from the server fires next; None if that cannot be determined."""
    fields = cron.split()
    # robfig/cron reads five fields as seconds to month.
    six = f"{cron} *" if len(fields) == 5 else cron
    try:
        return firing_times(six, after, 1, zone)[0] if len(six.split()) == 6 else None
    except CroniterError:
        return None


def _split(text: str) -> list[str]:
    if text.strip().startswith("@"):
        short = text.strip().lower()
        if short not in _SHORT:
            raise UserError(f"--cron {text!r}: unknown short form{nearest(short, _SHORT)}")
        return _SHORT[short].split()
    fields = text.split()
    if len(fields) == 6:
        raise UserError(
            f"--cron {text!r}: found six fields, expected five (minute, hour, day of month, month, "
            "day of week); the seconds that Kubeflow needs are added"
        )
    if len(fields) != 5:
        raise UserError(
            f"--cron {text!r}: expected five fields (minute, hour, day of month, month, day of "
            f'week), found {len(fields)}; quote them, as --cron "0 3 * * *"'
        )
    return fields


def _values(text: str, position: int, field: str) -> list[int] | None:
    """Returns the values of a field; None if the field is unrestricted."""
    title, low, high = _FIELDS[position]
    where = f"--cron {text!r}: {title} {field!r}"
    numbers = _NUMBERS.get(title, {})
    rest = [word for word in re.findall(r"[a-z]+|#", field.lower()) if word not in numbers]
    foreign = next((name for sign, name in _FOREIGN.items() if sign in rest), None)
    if foreign:
        raise UserError(f"{where}: Kubeflow's cron does not support {foreign}")
    if "?" in field and position not in (_DAY, _WEEKDAY):
        raise UserError(f"{where}: ? is only for days; write *")
    probe = ["*"] * len(_FIELDS)
    ranges = field.lower().split(",")
    probe[position] = ",".join(_forwards(where, part, numbers, position) for part in ranges)
    try:
        expanded = croniter.expand(" ".join(probe))[0][position]
    except CroniterError:
        last = 7 if position == _WEEKDAY else high
        raise UserError(
            f"{where}: expected *, values of {low} to {last}, ranges (1-5), lists (1,15) or "
            "steps (*/2)"
        ) from None
    if "*" not in expanded:
        return sorted(int(value) for value in expanded)
    # A list of all days, without a star, is still a restriction beside the other field of days.
    return None if "*" in field or "?" in field else list(range(low, high + 1))


def _forwards(where: str, part: str, numbers: Mapping[str, int], position: int) -> str:
    """Returns a range in numbers, but refuses 5-3; croniter would wrap both 5-3 and 3-3 around."""
    match = re.fullmatch(r"(\w+)-(\w+)(/\d+)?", part)
    ends = [numbers.get(end, end) for end in match.groups()[:2]] if match else []
    if not match or not all(str(end).isdigit() for end in ends):
        return part
    first, last = map(int, ends)
    if position == _WEEKDAY and last == 0 < first:
        last = 7
    if first > last:
        raise UserError(f"{where}: {part} runs backwards; write it as two ranges, a-b,c-d")
    return str(first) if first == last else f"{first}-{last}{match[3] or ''}"


def _written(title: str, low: int, high: int, values: Sequence[int] | None) -> str:
    """Returns a field in a short form that robfig/cron accepts."""
    if values is None:
        return "*"
    gaps = {after - before for before, after in zip(values, values[1:])}
    step = gaps.pop() if len(gaps) == 1 and len(values) > 2 else 1
    if step > 1:
        whole = list(values) == list(range(low, high + 1, step))
        # robfig/cron takes a day field with a star, such as `*/2`, as unrestricted.
        free = whole and not title.startswith("day")
        return f"*/{step}" if free else f"{values[0]}-{values[-1]}/{step}"
    runs = itertools.groupby(enumerate(values), key=lambda pair: pair[1] - pair[0])
    return ",".join(_run([value for _, value in run]) for _, run in runs)


def _run(values: list[int]) -> str:
    return f"{values[0]}-{values[-1]}" if len(values) > 2 else ",".join(map(str, values))


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        raise UserError(
            f"--timezone {name}: unknown; expected a name such as Europe/Berlin"
        ) from None
