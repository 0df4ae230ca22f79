"""Operations on a Kubeflow Pipelines server: run the workflow now or on a schedule."""

import dataclasses
import datetime
import pathlib
import tempfile
from collections.abc import Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from models.errors import FAILED, INTERRUPTED, NOT_BLESSED, OK, UserError, nearest
from pipeline.console import messages
from pipeline.kubeflow.compile.workflow_file import Manifest
from pipeline.kubeflow.output_names import BLESSED, DEPLOYED, UNCHANGED
from pipeline.kubeflow.parameter_names import NEW_BASELINE
from pipeline.kubeflow.server import cron, pipelines_api, run_display
from pipeline.kubeflow.server.pipelines_api import Order, PipelinesApi, RecurringRun
from pipeline.kubeflow.server.transport import ServerError

_TIME = "%Y-%m-%d %H:%M:%S %Z"


@dataclasses.dataclass(frozen=True)
class Job:
    """A workflow to run, and how to run it.

    Attributes:
        pipeline: the name of the workflow's pipeline on the server.
        manifest: the workflow.
        values: values that replace the defaults of the workflow's parameters, by name.
        name: the name of the run or schedule; by default the pipeline's, for a run with the time.
        experiment: the name of the experiment that groups the runs.
        create_experiment: whether to create the experiment if it does not exist.
        service_account: the account that the steps run as; by default the server's own.
    """

    pipeline: str
    manifest: Manifest
    values: Mapping[str, str] = dataclasses.field(default_factory=dict)
    name: str | None = None
    experiment: str = "Default"
    create_experiment: bool = False
    service_account: str | None = None


def submit(
    server: PipelinesApi,
    job: Job,
    console: Console,
    now: datetime.datetime,
    wait: bool = False,
    poll: float = 10.0,
) -> int:
    """Uploads a workflow and starts a run of it.

    Args:
        server: the server that runs it.
        job: the workflow to run.
        console: receives the output.
        now: the time for generated names.
        wait: whether to wait until the run has ended.
        poll: seconds between requests while waiting.

    Returns:
        An exit code of `models.errors`.

    Raises:
        UserError: the server has no such experiment, refuses a request, or cannot be reached.
    """
    order = _order(server, job, job.name or f"{job.pipeline} {now:%Y-%m-%d %H:%M:%S}", console, now)
    run_id = server.create_run(order)
    page = f"{server.host}/#/runs/details/{run_id}"
    _say(console, f"run         {order.name}, {page}")
    if not wait:
        return OK
    try:
        run = run_display.follow(
            server, run_id, job.manifest.steps, console, poll, job.manifest.reported
        )
    except KeyboardInterrupt:
        _say(console, f"\nInterrupted; the run continues: {page}")
        return INTERRUPTED
    except ServerError as error:
        raise ServerError(f"{error}; the run continues: {page}", error.status) from None
    _say(console, "")
    if run.state != pipelines_api.DONE:
        _say(console, run_display.failure(run), markup=True)
        _say(console, f"Its log: {page}")
        return FAILED
    return _verdict(run, console, page)


def schedule(
    server: PipelinesApi,
    job: Job,
    console: Console,
    now: datetime.datetime,
    six: str,
    zone: str = "UTC",
    max_concurrency: int = 1,
    catchup: bool = False,
) -> None:
    """Uploads a workflow and runs it on a schedule.

    Args:
        server: the server that runs it.
        job: the workflow to run.
        console: receives the output.
        now: the time for generated names, after which the next times are printed.
        six: the cron expression with six fields, see `cron.to_six_fields`.
        zone: the time zone in which the cluster evaluates schedules.
        max_concurrency: the maximum number of runs at a time.
        catchup: whether missed runs are made up for, one by one.

    Raises:
        UserError: the name is taken, the server has no such experiment, refuses a request, or
            cannot be reached.
    """
    name = job.name or job.pipeline
    times = cron.firing_times(six, now, zone=zone)
    taken = [recurring.id for recurring in server.recurring_runs() if recurring.name == name]
    if taken:
        raise UserError(
            f"--name {name}: is already a schedule ({taken[0]}); give another name, or first run "
            f"`kubeflow_runner.py schedules delete {name}`"
        )
    order = _order(server, job, name, console, now)
    schedule_id = server.create_recurring_run(order, six, max_concurrency, catchup)
    page = f"{server.host}/#/recurringrun/details/{schedule_id}"
    _say(console, f"schedule    {name}, {page}")
    _say(console, f"cron        {six} (seconds first)")
    for index, time in enumerate(times):
        _say(console, f"{'' if index else 'next':<12}{time.strftime(_TIME)}")


def list_schedules(
    server: PipelinesApi, console: Console, now: datetime.datetime, zone: str = "UTC"
) -> None:
    """Prints the schedules of the namespace.

    Args:
        server: the server with the schedules.
        console: receives the output.
        now: the time after which they fire next.
        zone: the time zone in which the cluster evaluates schedules.
    """
    recurring_runs = server.recurring_runs()
    if not recurring_runs:
        _say(console, "no schedules")
        return
    table = Table(box=box.SIMPLE_HEAD)
    for title in ("name", "id", "cron", "enabled", "next"):
        table.add_column(title, no_wrap=True)
    for recurring in sorted(recurring_runs, key=lambda recurring: recurring.name):
        when = recurring.cron or f"every {recurring.every} s"
        table.add_row(
            escape(recurring.name),
            recurring.id,
            escape(when),
            "yes" if recurring.enabled else "no",
            _next(recurring, now, zone),
        )
    if not console.is_terminal:
        console.width = 200  # a file need not fit a terminal's width
    console.print(table)


def find_schedule(server: PipelinesApi, name: str) -> RecurringRun:
    """Returns the schedule with a name or id.

    Raises:
        UserError: no schedule has it, or several have the name.
    """
    every = server.recurring_runs()
    matches = [recurring for recurring in every if recurring.id == name] or [
        recurring for recurring in every if recurring.name == name
    ]
    if not matches:
        known = (
            nearest(name, [recurring.name for recurring in every]) if every else " (there are none)"
        )
        raise UserError(f"{name}: no such schedule{known}")
    if len(matches) > 1:
        ids = ", ".join(recurring.id for recurring in matches)
        raise UserError(f"{name}: the name of several schedules; give an id: {ids}")
    return matches[0]


def _order(
    server: PipelinesApi, job: Job, name: str, console: Console, now: datetime.datetime
) -> Order:
    """Finds or creates the experiment and the version; returns the order with their ids."""
    experiment = _experiment(server, job)
    _say(console, f"experiment  {job.experiment}")
    manifest, values = job.manifest, job.values
    if values and not server.takes_parameters:
        manifest, values = manifest.having(values), {}
    pipeline, version = _version(server, job.pipeline, manifest, now)
    # The pipeline's own name, as most servers do not tell capitals from small letters.
    _say(console, f"version     {version.name} of {pipeline.name}")
    return Order(name, experiment.id, pipeline.id, version.id, values, job.service_account)


def _experiment(server: PipelinesApi, job: Job) -> pipelines_api.Named:
    every = server.experiments()
    match = next((experiment for experiment in every if experiment.name == job.experiment), None)
    if match:
        return match
    if job.create_experiment:
        return _create_experiment(server, job.experiment, [experiment.name for experiment in every])
    known = (
        nearest(job.experiment, [experiment.name for experiment in every])
        if every
        else " (there are none)"
    )
    raise UserError(
        f"--experiment {job.experiment}: no such experiment{known}; --create-experiment creates it"
    )


def _create_experiment(
    server: PipelinesApi, name: str, existing: Sequence[str]
) -> pipelines_api.Named:
    try:
        return server.create_experiment(name)
    except ServerError as error:
        # Most servers do not tell capitals from small letters.
        other = next((each for each in existing if each.casefold() == name.casefold()), None)
        if error.status != 409 or other is None:
            raise
        raise UserError(
            f"--experiment {name}: the server has {other} and takes both names for the same; give "
            f"--experiment {other!r}"
        ) from None


def _version(
    server: PipelinesApi, name: str, manifest: Manifest, now: datetime.datetime
) -> tuple[pipelines_api.Named, pipelines_api.Named]:
    """Finds or creates the pipeline, and its version with this workflow."""
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / f"{name}.yaml"
        file.write_text(manifest.text, encoding="utf-8")
        pipeline = server.pipeline(name) or server.create_pipeline(name, file)
        for version in server.versions(pipeline.id):
            if version.name.endswith(f"-{manifest.digest}"):
                return pipeline, version
        unique = f"{now:%Y%m%d-%H%M%S}-{manifest.digest}"
        return pipeline, server.upload_version(pipeline.id, unique, file)


def _verdict(run: pipelines_api.Run, console: Console, page: str) -> int:
    if run.metrics is None:
        _say(
            console,
            f"Succeeded; this API does not report whether the model was blessed; see {page}",
        )
        return OK
    for name, value in run.metrics.items():
        if name not in (BLESSED, DEPLOYED, UNCHANGED):
            _say(console, f"{name} {value:.6g}")
    if BLESSED not in run.metrics:
        _say(console, f"Succeeded; no step reported whether the model was blessed; see {page}")
        return OK
    if run.metrics[BLESSED] < 1:
        _say(console, f"[bold red]Not blessed[/], so not pushed; see {page}", markup=True)
        return NOT_BLESSED
    if DEPLOYED not in run.metrics:
        _say(console, f"Blessed; no step reported whether the model was pushed; see {page}")
        return OK
    if run.metrics[DEPLOYED] < 1:
        _say(
            console,
            "Blessed, but [bold red]not pushed[/]: someone removed or replaced this model in "
            "the serving directory; to deploy it anyway, give a reason: "
            f'--param {NEW_BASELINE}="why"; see {escape(page)}',
            markup=True,
        )
        return NOT_BLESSED
    unchanged = run.metrics.get(UNCHANGED, 0) >= 1
    what = "unchanged; it was deployed before" if unchanged else "pushed"
    _say(console, f"[bold green]Blessed[/] and {what}", markup=True)
    return OK


def _next(recurring: RecurringRun, now: datetime.datetime, zone: str) -> str:
    if not recurring.enabled:
        return "paused"
    time = cron.next_time(recurring.cron, now, zone) if recurring.cron else None
    return time.strftime(_TIME) if time else "-"


def _say(console: Console, text: str, markup: bool = False) -> None:
    messages.say(console, text if markup else escape(text))
