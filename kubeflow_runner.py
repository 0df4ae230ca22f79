"""The command line on a cluster: `python kubeflow_runner.py --help`."""

import datetime
import functools
import inspect
import pathlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from typer.exceptions import TyperException

from pipeline import config_file, errors
from pipeline.config import Config

if TYPE_CHECKING:
    from pipeline.kubeflow.api import PipelinesApi

DEFAULT_CONFIG = pathlib.Path(__file__).parent / "data" / "king_county" / "pipeline.yaml"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="From a raw table to a blessed, pushed model, on a cluster with Kubeflow Pipelines.",
    epilog="Exit codes: 0 done (of submit --wait: succeeded, and blessed where that is told); "
    "1 a step failed; 2 wrong configuration or option, or the server cannot be reached or refuses; "
    "3 not blessed, nothing pushed; 130 interrupted.",
)
schedules = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="List, pause, resume and delete what `schedule` made.",
)
app.add_typer(schedules, name="schedules")

ConfigOption = Annotated[
    pathlib.Path,
    typer.Option("--config", "-c", help="The problem's YAML file.", show_default=False),
]

WorkflowOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--workflow",
        help="The compiled workflow.",
        show_default="workspace/<name>/kubeflow/workflow.yaml",
    ),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="A value of a parameter of the workflow."),
]
ExperimentOption = Annotated[
    str, typer.Option("--experiment", help="The experiment that groups the runs.")
]
CreateExperimentOption = Annotated[
    bool, typer.Option("--create-experiment", help="Makes the experiment if there is none.")
]
TimezoneOption = Annotated[
    str,
    typer.Option(
        "--timezone",
        help="In which the cluster evaluates schedules: CRON_SCHEDULE_TIMEZONE of its controller. "
        "Only what is printed depends on it.",
    ),
]
ScheduleArgument = Annotated[str, typer.Argument(help="Name or id of the schedule.")]
Connect = Callable[[], "PipelinesApi"]


def _server_option(names: str, variable: str | None, text: str, **more: Any):
    panel = "The server"
    return typer.Option(*names.split(), envvar=variable, help=text, rich_help_panel=panel, **more)


def _connect(
    host: Annotated[
        str | None,
        _server_option(
            "--host",
            "KF_PIPELINES_ENDPOINT",
            "Address of Kubeflow Pipelines, as http://localhost:8080.",
            show_default="in a pod: its own cluster",
        ),
    ] = None,
    namespace: Annotated[
        str | None,
        _server_option(
            "--namespace -n",
            "KF_PIPELINES_NAMESPACE",
            "Your namespace, where the server has several users.",
        ),
    ] = None,
    token: Annotated[
        str | None,
        _server_option(
            "--token",
            "KF_PIPELINES_TOKEN",
            "A bearer token. Others see it in a command line: rather give a file of it.",
        ),
    ] = None,
    token_file: Annotated[
        pathlib.Path | None,
        _server_option(
            "--token-file",
            "KF_PIPELINES_SA_TOKEN_PATH",
            "A file with a bearer token, which may be renewed meanwhile; --token goes before it.",
        ),
    ] = None,
    cookie: Annotated[
        str | None,
        _server_option(
            "--cookie",
            "KF_PIPELINES_COOKIE",
            "A cookie as your browser has it, authservice_session=...",
        ),
    ] = None,
    ca_cert: Annotated[
        pathlib.Path | None,
        _server_option(
            "--ca-cert", "KF_PIPELINES_CA_CERT", "The CA of the server's certificate, in PEM."
        ),
    ] = None,
    api: Annotated[
        str | None,
        _server_option(
            "--api", None, "v1beta1 or v2beta1.", show_default="v1beta1 where the server has it"
        ),
    ] = None,
) -> "PipelinesApi":
    """Where the server is and who the user is: the options of every command that asks it."""
    from pipeline.kubeflow import connection

    if api is not None and api not in connection.GENERATIONS:
        raise errors.UserError(f"--api {api}: unknown{errors.nearest(api, connection.GENERATIONS)}")
    sign_in = connection.SignIn(host, namespace, token, token_file, cookie, ca_cert)
    return connection.connect(sign_in, api)


def _asks_the_server(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options of `_connect`, and a `connect` that has them filled in.

    It connects when the command has checked everything else.
    """
    own, theirs = (dict(inspect.signature(f).parameters) for f in (command, _connect))
    del own["connect"]

    @functools.wraps(command)
    def with_options(**values):
        sign_in = {name: values.pop(name) for name in theirs}
        command(connect=functools.partial(_connect, **sign_in), **values)

    keyword = inspect.Parameter.KEYWORD_ONLY
    every = [p.replace(kind=keyword) for p in (own | theirs).values()]
    with_options.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
    with_options.__annotations__ = {p.name: p.annotation for p in every}
    return with_options


@app.command(
    epilog="Examples:\n\n"
    "  kubeflow_runner.py submit --host http://localhost:8080 --wait\n\n"
    "  kubeflow_runner.py submit --host https://kubeflow.example.com/pipeline -n my-team "
    "--token-file token --experiment houses --create-experiment\n\n"
    "  kubeflow_runner.py submit --param data-root=gs://my-bucket/houses"
)
@_asks_the_server
def submit(
    connect: Connect,
    config: ConfigOption = DEFAULT_CONFIG,
    workflow: WorkflowOption = None,
    param: ParamOption = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the run.", show_default="the problem's name and the time"),
    ] = None,
    experiment: ExperimentOption = "Default",
    create_experiment: CreateExperimentOption = False,
    wait: Annotated[bool, typer.Option("--wait", help="Follows the run to its end.")] = False,
    poll: Annotated[
        float, typer.Option(min=0.01, help="Seconds between two looks at it, with --wait.")
    ] = 10.0,
) -> None:
    """Upload the compiled workflow and run it once; an unchanged one is not uploaded again."""
    from pipeline.kubeflow import service

    job = _job(config, workflow, param, name, experiment, create_experiment)
    server = connect()
    raise typer.Exit(service.submit(server, job, Console(), _now(), wait, poll))


@app.command(
    epilog="Examples:\n\n"
    '  kubeflow_runner.py schedule --cron "0 3 * * *"\n\n'
    '  kubeflow_runner.py schedule --cron "30 6 * * mon-fri" --name weekdays '
    "--param data-root=gs://my-bucket/houses"
)
@_asks_the_server
def schedule(
    connect: Connect,
    cron: Annotated[
        str,
        typer.Option(help="Five fields, as in a crontab, or @hourly, @daily, @weekly, @monthly."),
    ],
    config: ConfigOption = DEFAULT_CONFIG,
    workflow: WorkflowOption = None,
    param: ParamOption = None,
    name: Annotated[
        str | None, typer.Option(help="Of the schedule.", show_default="the problem's name")
    ] = None,
    experiment: ExperimentOption = "Default",
    create_experiment: CreateExperimentOption = False,
    timezone: TimezoneOption = "UTC",
    max_concurrency: Annotated[
        int, typer.Option(min=1, max=10, help="How many of its runs there may be at a time.")
    ] = 1,
    catchup: Annotated[
        bool, typer.Option("--catchup", help="Makes up for every time that was missed.")
    ] = False,
) -> None:
    """Upload the compiled workflow and have it run by the clock; cron is evaluated in UTC."""
    from pipeline.kubeflow import cron as cron_lib
    from pipeline.kubeflow import service

    six = cron_lib.to_six_fields(cron)
    now = _now()
    cron_lib.firing_times(six, now, zone=timezone)
    job = _job(config, workflow, param, name, experiment, create_experiment)
    server = connect()
    service.schedule(server, job, Console(), now, six, timezone, max_concurrency, catchup)


@schedules.command("list", epilog="Example:\n\n  kubeflow_runner.py schedules list")
@_asks_the_server
def list_schedules(
    connect: Connect,
    timezone: TimezoneOption = "UTC",
) -> None:
    """Show the schedules, and when each fires next."""
    from pipeline.kubeflow import service

    server = connect()
    service.list_schedules(server, Console(), _now(), timezone)


@schedules.command(epilog="Example:\n\n  kubeflow_runner.py schedules pause king_county")
@_asks_the_server
def pause(
    connect: Connect,
    schedule: ScheduleArgument,
) -> None:
    """Stop a schedule from firing until it is resumed."""
    from pipeline.kubeflow import service

    server = connect()
    found = service.find_schedule(server, schedule)
    server.pause(found.id)
    print(f"paused      {found.name}")


@schedules.command(epilog="Example:\n\n  kubeflow_runner.py schedules resume king_county")
@_asks_the_server
def resume(
    connect: Connect,
    schedule: ScheduleArgument,
) -> None:
    """Let a paused schedule fire again."""
    from pipeline.kubeflow import service

    server = connect()
    found = service.find_schedule(server, schedule)
    server.resume(found.id)
    print(f"resumed     {found.name}")


@schedules.command(epilog="Example:\n\n  kubeflow_runner.py schedules delete king_county")
@_asks_the_server
def delete(
    connect: Connect,
    schedule: ScheduleArgument,
) -> None:
    """Remove a schedule; the runs that it started stay."""
    from pipeline.kubeflow import service

    server = connect()
    found = service.find_schedule(server, schedule)
    server.delete(found.id)
    print(f"deleted     {found.name}")


def _job(
    config: pathlib.Path,
    workflow: pathlib.Path | None,
    param: list[str] | None,
    name: str | None,
    experiment: str,
    create_experiment: bool,
):
    from pipeline.kubeflow import service
    from pipeline.kubeflow.package import Package

    problem = _load(config)
    default = pathlib.Path("workspace") / problem.name / "kubeflow" / "workflow.yaml"
    package = Package.load(workflow or default)
    values = package.values(param or ())
    return service.Job(problem.name, package, values, name, experiment, create_experiment)


def _load(path: pathlib.Path) -> Config:
    return config_file.load(path)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def main() -> None:
    """Runs the command line; a user's mistake is its message alone."""
    try:
        sys.exit(app(standalone_mode=False))
    except TyperException as error:
        # `error` of a call without a command is the help, which is on the screen by now.
        if message := error.format_message():
            print(f"{message.rstrip('.')}; see --help", file=sys.stderr)
        sys.exit(error.exit_code)
    except errors.UserError as error:
        print(error, file=sys.stderr)
        sys.exit(errors.BAD_INPUT)


if __name__ == "__main__":
    main()
