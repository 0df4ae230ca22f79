"""Cron expressions: taken with five fields, as people write them, sent with six, seconds first."""

import datetime

from croniter import CroniterBadCronError, croniter

from pipeline.errors import UserError

_FIELDS = ("minute", "hour", "day of the month", "month", "day of the week")


def six_fields(expression: str) -> str:
    """What Kubeflow Pipelines takes for a five-field expression or a word as `@daily`.

    Its parser (github.com/robfig/cron) has seconds first and counts the days of the week from
    Sunday, 0, to 6; so names, steps, ranges and a 7 become plain numbers.

    Raises:
        UserError: no such expression, or one that its parser does not know.
    """
    option = f"--cron {expression!r}"
    count = len(expression.split())
    if not expression.startswith("@") and count != len(_FIELDS):
        hint = "; leave out the seconds" if count == 6 else ""
        raise UserError(
            f"{option}: found {count} fields, expected five ({', '.join(_FIELDS)}), "
            f"as '0 3 * * *'{hint}"
        )
    for sign in "#LlWw?":
        # croniter knows some of these; the names of days and months have an L or W at no end.
        if any(part == sign or part.strip("0123456789") == sign for part in expression.split()):
            raise UserError(f"{option}: Kubeflow Pipelines does not know {sign!r}")
        if sign == "#" and sign in expression:
            raise UserError(f"{option}: Kubeflow Pipelines does not know {sign!r}")
    try:
        expanded, _ = croniter.expand(expression)
    except (CroniterBadCronError, ValueError) as error:
        raise UserError(f"{option}: {error}; expected for example '0 3 * * *'") from None
    return " ".join(["0", *(",".join(map(str, field)) for field in expanded[: len(_FIELDS)])])


def firing_times(six: str, after: datetime.datetime, count: int = 3) -> list[datetime.datetime]:
    """When an expression of six fields fires next.

    Args:
        six: as `six_fields` gives it.
        after: not before this time, in the server's time zone, which is UTC unless it was set up
            otherwise.
        count: how many times.
    """
    times = croniter(six, after, second_at_beginning=True)
    return [times.get_next(datetime.datetime) for _ in range(count)]
