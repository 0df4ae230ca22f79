"""Schedules: created, listed, paused, resumed and deleted."""

import re

import pytest

from models.errors import UserError
from pipeline.kubeflow.server import service

CRON = "0 0 3 * * 1-5"


def row(api, name, console, now):
    """Returns the columns of a schedule in the list."""
    start = console.file.tell()
    service.list_schedules(api, console, now)
    lines = console.file.getvalue()[start:].splitlines()
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines]
    return next((columns for columns in rows if columns[0] == name), None)


def test_a_schedule_is_listed_paused_resumed_and_deleted(api, job, console, now):
    service.schedule(api, job, console, now, CRON, max_concurrency=2)
    found = service.find_schedule(api, job.name)
    assert f"/#/recurringrun/details/{found.id}\n" in console.file.getvalue()
    assert (found.cron, found.every, found.enabled) == (CRON, 0, True)
    assert row(api, job.name, console, now)[1:4] == [found.id, CRON, "yes"]
    api.pause(found.id)
    assert row(api, job.name, console, now)[1:] == [found.id, CRON, "no", "paused"]
    api.pause(found.id)
    api.resume(found.id)
    assert row(api, job.name, console, now)[3] == "yes"
    api.delete(found.id)
    assert row(api, job.name, console, now) is None
    with pytest.raises(UserError, match=f"^{job.name}: no such schedule"):
        service.find_schedule(api, job.name)


def test_a_name_is_scheduled_once(api, job, console, now):
    service.schedule(api, job, console, now, CRON)
    with pytest.raises(UserError, match=f"^--name {job.name}: is already a schedule"):
        service.schedule(api, job, console, now, CRON)
    api.delete(service.find_schedule(api, job.name).id)
