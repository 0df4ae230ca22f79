"""The command line for clusters: `python kubeflow_runner.py --help`."""

import datetime
import os
import pathlib
import sys
from typing import Annotated

from pipeline.console import interrupts

if __name__ == "__main__":
    interrupts.end_process()

# TensorFlow reads this once, on import: from then on it logs errors only.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer

from models import errors
from models.processes import no_proxy
from pipeline.config.configuration import Config
from pipeline.config.kubeflow_config import Kubeflow
from pipeline.console import command_line, messages
from pipeline.console.command_line import ConfigOption, PresetOption, SetOption, WorkspaceOption
from pipeline.kubeflow.server.connection_options import Connect, asks_the_server
from pipeline.storage.workspace import Workspace

app = command_line.app(
    "The same pipeline on Kubeflow: compiled, checked, executed, submitted, scheduled.",
    "Exit codes: 0 done (of run: blessed and pushed, or unchanged); 1 a step failed; "
    "2 wrong configuration, option or data, or a server that cannot be reached or refuses; "
    "3 not blessed or kept back; 130 interrupted.",
)
schedules = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="List, pause, resume and delete what `schedule` made.",
)
app.add_typer(schedules, name="schedules")

FileOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--file",
        "-f",
        help="The compiled workflow.",
        show_default="workspace/<name>/kubeflow/workflow.yaml",
    ),
]
ParamOption = Annotated[
    list[str] | None,
    typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the run."),
]


@app.command(
    epilog="Examples:\n\n"
    "  kubeflow_runner.py compile\n\n"
    "  kubeflow_runner.py compile --set kubeflow.image=registry.example.com/houses:1.1"
)
def compile(
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    preset: PresetOption = None,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Write what clusters run: an Argo Workflow, and V2 pipelines for Kubeflow 2 and Vertex AI."""
    from pipeline.kubeflow.compile import compile_command

    problem, kubeflow = _load(config, set_, preset)
    raise typer.Exit(compile_command.run(problem, kubeflow, _place(problem, workspace)))


@app.command(epilog="Example:\n\n  kubeflow_runner.py check")
def check(
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    workspace: WorkspaceOption = None,
    file: FileOption = None,
) -> None:
    """Check the compiled workflow without a cluster: types, references, leaks, what steps run."""
    from pipeline.kubeflow.rules import lint

    problem, _ = _load(config)
    resolved_workspace = _place(problem, workspace)
    raise typer.Exit(lint.check_command(_compiled(config, resolved_workspace, file)))


@app.command(
    epilog="Examples:\n\n"
    "  kubeflow_runner.py run\n\n"
    "  kubeflow_runner.py run --param max-steps=500 --parallel 4"
)
def run(
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    workspace: WorkspaceOption = None,
    file: FileOption = None,
    param: ParamOption = None,
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="NAME/KEY=VALUE", help="A secret of the cluster."),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="Steps that run at a time.")] = 2,
    image_root: Annotated[
        pathlib.Path | None,
        typer.Option(help="A directory with the image's file system, for the steps to run in."),
    ] = None,
) -> None:
    """Execute the compiled workflow on this machine, as a cluster would."""
    from pipeline.kubeflow.executor import run_command as executor

    problem, kubeflow = _load(config)
    resolved_workspace = _place(problem, workspace)
    secrets: dict[str, dict[str, str]] = {}
    for name, value in command_line.pairs("--secret", secret).items():
        of, separator, key = name.partition("/")
        if not separator:
            raise errors.UserError(f"--secret {name}: expected NAME/KEY=VALUE, as db/password=x")
        secrets.setdefault(of, {})[key] = value
    parameters = _parameters(problem, param)
    file = _compiled(config, resolved_workspace, file)
    code = executor.run(
        problem.name, kubeflow, resolved_workspace, file, parameters, secrets, parallel, image_root
    )
    raise typer.Exit(code)


ExperimentOption = Annotated[
    str | None,
    typer.Option(
        "--experiment",
        help="That groups the runs.",
        show_default="the problem's name; made if need be",
    ),
]
CreateOption = Annotated[
    bool, typer.Option("--create-experiment", help="Makes the --experiment if there is none.")
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


@app.command(
    epilog="Examples:\n\n"
    "  kubeflow_runner.py submit --host http://localhost:8080 --wait\n\n"
    "  kubeflow_runner.py submit --host https://kubeflow.example.com/pipeline -n my-team "
    "--token-file token\n\n"
    "  kubeflow_runner.py submit --param max-steps=3000 --experiment pricing --create-experiment"
)
@asks_the_server
def submit(
    connect: Connect,
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    workspace: WorkspaceOption = None,
    file: FileOption = None,
    param: ParamOption = None,
    name: Annotated[
        str | None,
        typer.Option(help="Of the run.", show_default="the problem's name and the time"),
    ] = None,
    experiment: ExperimentOption = None,
    create_experiment: CreateOption = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follows the run to its end; its verdict is the code.")
    ] = False,
    poll: Annotated[
        float, typer.Option(min=0.01, help="Seconds between two looks at it, with --wait.")
    ] = 10.0,
) -> None:
    """Upload the compiled workflow and run it once; an unchanged one is not uploaded again."""
    from rich.console import Console

    from pipeline.kubeflow.server import service

    problem, kubeflow = _load(config)
    file = _compiled(config, _place(problem, workspace), file)
    job = _job(problem, kubeflow, file, param, name, experiment, create_experiment)
    server = connect(kubeflow)
    raise typer.Exit(service.submit(server, job, Console(), _now(), wait, poll))


@app.command(
    epilog="Examples:\n\n"
    "  kubeflow_runner.py schedule --cron '0 3 * * *' --host http://localhost:8080\n\n"
    "  kubeflow_runner.py schedule --cron '30 6 * * mon-fri' --name weekdays"
)
@asks_the_server
def schedule(
    connect: Connect,
    cron: Annotated[
        str,
        typer.Option(help="Five fields, as in a crontab, or @hourly, @daily, @weekly, @monthly."),
    ],
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    workspace: WorkspaceOption = None,
    file: FileOption = None,
    param: ParamOption = None,
    name: Annotated[
        str | None, typer.Option(help="Of the schedule.", show_default="the problem's name")
    ] = None,
    experiment: ExperimentOption = None,
    create_experiment: CreateOption = False,
    timezone: TimezoneOption = "UTC",
    max_concurrency: Annotated[
        int, typer.Option(min=1, max=10, help="How many of its runs there may be at a time.")
    ] = 1,
    catchup: Annotated[
        bool, typer.Option("--catchup", help="Makes up for every time that was missed.")
    ] = False,
) -> None:
    """Upload the compiled workflow and run it on a schedule."""
    from rich.console import Console

    from pipeline.kubeflow import names
    from pipeline.kubeflow.server import cron as cron_lib
    from pipeline.kubeflow.server import service

    if names.NEW_BASELINE in command_line.pairs("--param", param):
        raise errors.UserError(
            f"--param {names.NEW_BASELINE}: a schedule would set the deployed model aside "
            "every time; give it to one run, with submit"
        )
    six = cron_lib.to_six_fields(cron)
    now = _now()
    cron_lib.firing_times(six, now, zone=timezone)
    problem, kubeflow = _load(config)
    file = _compiled(config, _place(problem, workspace), file)
    job = _job(problem, kubeflow, file, param, name, experiment, create_experiment)
    server = connect(kubeflow)
    service.schedule(server, job, Console(), now, six, timezone, max_concurrency, catchup)


@schedules.command("list", epilog="Example:\n\n  kubeflow_runner.py schedules list")
@asks_the_server
def list_schedules(
    connect: Connect,
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    timezone: TimezoneOption = "UTC",
) -> None:
    """Show the schedules, and when each fires next."""
    from rich.console import Console

    from pipeline.kubeflow.server import service

    _, kubeflow = _load(config)
    service.list_schedules(connect(kubeflow), Console(), _now(), timezone)


@schedules.command(epilog="Example:\n\n  kubeflow_runner.py schedules pause king_county")
@asks_the_server
def pause(
    connect: Connect,
    schedule: ScheduleArgument,
    config: ConfigOption = command_line.DEFAULT_CONFIG,
) -> None:
    """Stop a schedule from firing until it is resumed."""
    _change(connect, config, schedule, "pause", "paused")


@schedules.command(epilog="Example:\n\n  kubeflow_runner.py schedules resume king_county")
@asks_the_server
def resume(
    connect: Connect,
    schedule: ScheduleArgument,
    config: ConfigOption = command_line.DEFAULT_CONFIG,
) -> None:
    """Let a paused schedule fire again."""
    _change(connect, config, schedule, "resume", "resumed")


@schedules.command(epilog="Example:\n\n  kubeflow_runner.py schedules delete king_county")
@asks_the_server
def delete(
    connect: Connect,
    schedule: ScheduleArgument,
    config: ConfigOption = command_line.DEFAULT_CONFIG,
) -> None:
    """Remove a schedule; the runs that it started stay."""
    _change(connect, config, schedule, "delete", "deleted")


def _change(connect: Connect, config: pathlib.Path, schedule: str, change: str, done: str) -> None:
    from pipeline.kubeflow.server import service

    _, kubeflow = _load(config)
    server = connect(kubeflow)
    recurring_run = service.find_schedule(server, schedule)
    getattr(server, change)(recurring_run.id)
    print(f"{done:<12}{recurring_run.name}")


def _job(
    config: Config,
    kubeflow: Kubeflow,
    file: pathlib.Path,
    param: list[str] | None,
    name: str | None,
    experiment: str | None,
    create_experiment: bool,
):
    from pipeline.kubeflow.compile import run_parameters
    from pipeline.kubeflow.compile.workflow_file import Manifest
    from pipeline.kubeflow.server import service

    manifest = Manifest.load(file)
    values = _parameters(config, param)
    manifest.parameters(values)
    run_parameters.check_places(kubeflow, values)
    return service.Job(
        config.name,
        manifest,
        values,
        name,
        experiment or config.name,
        create_experiment or experiment is None,
        kubeflow.service_account,
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _load(
    path: pathlib.Path, overrides: list[str] | None = None, preset: str | None = None
) -> tuple[Config, Kubeflow]:
    """Returns a configuration and its `kubeflow` section, which the commands here require."""
    config = command_line.load(path, overrides, preset)
    if config.kubeflow is None:
        raise errors.UserError(
            f"{path}: kubeflow: missing; add for example 'kubeflow: {{image: "
            f"registry.example.com/{config.name}:1.0, workspace: /mnt/pipelines/{config.name}, "
            "volumes: {pipelines: /mnt/pipelines}}'"
        )
    return config, config.kubeflow


def _parameters(config: Config, options: list[str] | None) -> dict[str, str]:
    from pipeline.kubeflow import names
    from pipeline.kubeflow.compile import run_parameters

    parameters = command_line.pairs("--param", options)
    run_parameters.check(config, parameters)
    if names.GATES in parameters:
        parameters[names.GATES] = run_parameters.literal(parameters[names.GATES])
    return parameters


def _place(config: Config, root: pathlib.Path | None) -> Workspace:
    return Workspace(command_line.workspace(config, root).root / "kubeflow")


def _compiled(
    config: pathlib.Path, workspace: Workspace, file: pathlib.Path | None
) -> pathlib.Path:
    """Returns the workflow's file; prints a note if `config` has changed since it was compiled."""
    if file:
        return file
    file = workspace.root / "workflow.yaml"
    if file.exists() and file.stat().st_mtime < config.stat().st_mtime:
        newer, older = messages.shown(config.resolve()), messages.shown(file)
        print(f"note  {newer} is newer than {older}; `compile` takes it over", file=sys.stderr)
    return file


if __name__ == "__main__":
    no_proxy.exempt()
    command_line.main(app)
