"""Cron schedules by the rules of Go's robfig/cron 1.2, which Kubeflow's scheduler uses."""

import calendar
import datetime

BOUNDS = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
DAYS = {name.lower(): (number + 1) % 7 for number, name in enumerate(calendar.day_abbr)}
NAMES: tuple[dict, ...] = ({}, {}, {}, {}, MONTHS, DAYS)


class Schedule:
    """A schedule of six fields, seconds first; a sixth field left out means any day of the week."""

    def __init__(self, text):
        fields = text.split()
        if len(fields) == 5:
            fields.append("*")
        if len(fields) != 6:
            raise ValueError(f"Expected 5 to 6 fields, found {len(fields)}: {text}")
        parsed = [_field(f, b, n) for f, b, n in zip(fields, BOUNDS, NAMES)]
        self.second, self.minute, self.hour, self.day, self.month, self.weekday = (
            values for values, _ in parsed
        )
        self.any_star = parsed[3][1] or parsed[5][1]

    def next(self, after):
        """Returns the first matching time after another; None if five years have no match."""
        time = after.replace(microsecond=0) + datetime.timedelta(seconds=1)
        day = time.replace(hour=0, minute=0, second=0)
        while day.year <= after.year + 5:
            if day.month in self.month and self._falls_on(day):
                for hour in sorted(self.hour):
                    for minute in sorted(self.minute):
                        for second in sorted(self.second):
                            candidate = day.replace(hour=hour, minute=minute, second=second)
                            if candidate >= time:
                                return candidate
            day += datetime.timedelta(days=1)
        return None

    def _falls_on(self, day):
        in_month, in_week = day.day in self.day, day.isoweekday() % 7 in self.weekday
        return (in_month and in_week) if self.any_star else (in_month or in_week)


def _field(text, bounds, names):
    values: set[int] = set()
    star = False
    for part in text.split(","):
        span, slash, step = part.partition("/")
        low, dash, high = span.partition("-")
        if low in ("*", "?"):
            if dash:
                raise ValueError(f"Too many hyphens: {part}")
            (first, last), star = bounds, True
        else:
            first = _number(low, names)
            last = _number(high, names) if dash else bounds[1] if slash else first
        if first < bounds[0] or last > bounds[1] or first > last:
            raise ValueError(f"Outside of {bounds} or backwards: {part}")
        width = int(step) if slash else 1
        if width < 1:
            raise ValueError(f"Step of range should be a positive number: {part}")
        values.update(range(first, last + 1, width))
    return values, star


def _number(text, names):
    if text.lower() in names:
        return names[text.lower()]
    if not text.isdigit():
        raise ValueError(f"Failed to parse int from {text}")
    return int(text)
