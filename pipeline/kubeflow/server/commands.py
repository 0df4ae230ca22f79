"""The commands that ask a Kubeflow Pipelines server."""

import dataclasses
import datetime
import pathlib
from collections.abc import Sequence
from typing import Literal

from rich.console import Console

from models.errors import UserError
from pipeline.console import command_line
from pipeline.kubeflow.compile import run_parameters
from pipeline.kubeflow.compile.cluster_problem import ClusterProblem
from pipeline.kubeflow.compile.workflow_file import Manifest
from pipeline.kubeflow.parameter_names import NEW_BASELINE
from pipeline.kubeflow.server import cron as cron_lib
from pipeline.kubeflow.server import service
from pipeline.kubeflow.server.connection_options import Connect

Change = Literal["pause", "resume", "delete"]


@dataclasses.dataclass(frozen=True)
class JobOptions:
    """The options that `submit` and `schedule` share, see `kubeflow_runner.py`."""

    file: pathlib.Path | None
    param: Sequence[str] | None
    name: str | None
    experiment: str | None
    create_experiment: bool


def submit(
    connect: Connect, problem: ClusterProblem, options: JobOptions, wait: bool, poll: float
) -> int:
    """Checks the options and submits the workflow; see `service.submit`."""
    job = _job(problem, options)
    return service.submit(connect(problem.kubeflow), job, Console(), _now(), wait, poll)


def schedule(
    connect: Connect,
    problem: ClusterProblem,
    options: JobOptions,
    cron: str,
    timezone: str,
    max_concurrency: int,
    catchup: bool,
) -> None:
    """Checks the options and schedules the workflow; see `service.schedule`."""
    if NEW_BASELINE in command_line.pairs("--param", options.param):
        raise UserError(
            f"--param {NEW_BASELINE}: a schedule would set the deployed model aside every time; "
            "give it to one run, with submit"
        )
    six, now = cron_lib.to_six_fields(cron), _now()
    cron_lib.firing_times(six, now, zone=timezone)
    job = _job(problem, options)
    server = connect(problem.kubeflow)
    service.schedule(server, job, Console(), now, six, timezone, max_concurrency, catchup)


def list_schedules(connect: Connect, problem: ClusterProblem, timezone: str) -> None:
    """Prints the schedules; see `service.list_schedules`."""
    service.list_schedules(connect(problem.kubeflow), Console(), _now(), timezone)


def change(connect: Connect, problem: ClusterProblem, schedule: str, change: Change) -> None:
    """Pauses, resumes or deletes the schedule with a name or id.

    Raises:
        UserError: there is no such schedule, or the server cannot be reached.
    """
    server = connect(problem.kubeflow)
    recurring_run = service.find_schedule(server, schedule)
    getattr(server, change)(recurring_run.id)
    print(f"{f'{change}d':<12}{recurring_run.name}")


def _job(problem: ClusterProblem, options: JobOptions) -> service.Job:
    manifest = Manifest.load(problem.workflow(options.file))
    values = problem.parameters(options.param)
    manifest.parameters(values)
    run_parameters.check_directories(problem.kubeflow, values)
    return service.Job(
        problem.config.name,
        manifest,
        values,
        options.name,
        options.experiment or problem.config.name,
        options.create_experiment or options.experiment is None,
        problem.kubeflow.service_account,
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)
