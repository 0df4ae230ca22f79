"""The command line for clusters: `python kubeflow_runner.py --help`."""

import os
import pathlib
from typing import Annotated

from pipeline.console import interrupts

if __name__ == "__main__":
    interrupts.end_process()

# TensorFlow reads this once, on import: from then on it logs errors only.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer

from models.processes import no_proxy
from pipeline.console import command_line
from pipeline.console.command_line import ConfigOption, PresetOption, SetOption, WorkspaceOption
from pipeline.kubeflow.compile.cluster_problem import ClusterProblem
from pipeline.kubeflow.server.connection_options import Connect, asks_the_server

app = command_line.app(
    "The same pipeline on Kubeflow: compiled, checked, executed, submitted, scheduled.",
    "Exit codes: 0 done (for run: blessed and pushed, or unchanged); 1 a step failed; "
    "2 wrong configuration, option or data, or a server that cannot be reached or refuses; "
    "3 not blessed or kept back; 130 interrupted.",
)
schedules = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="List, pause, resume and delete schedules.",
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
    typer.Option("--param", metavar="NAME=VALUE", help="Sets a parameter of the run; repeatable."),
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
    """Compile to an Argo Workflow, and to V2 pipelines for Kubeflow 2 and Vertex AI."""
    from pipeline.kubeflow.compile import compile_command

    raise typer.Exit(compile_command.run(ClusterProblem.load(config, workspace, set_, preset)))


@app.command(epilog="Example:\n\n  kubeflow_runner.py check")
def check(
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    workspace: WorkspaceOption = None,
    file: FileOption = None,
) -> None:
    """Check the compiled workflow without a cluster: types, references, leaks, what steps run."""
    from pipeline.kubeflow.rules import lint

    raise typer.Exit(lint.check_command(ClusterProblem.load(config, workspace).workflow(file)))


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
        typer.Option(
            "--secret",
            metavar="NAME/KEY=VALUE",
            help="Stands in for a secret of the cluster; repeatable.",
        ),
    ] = None,
    parallel: Annotated[
        int, typer.Option(min=1, help="Maximum number of steps that run at a time.")
    ] = 2,
    image_root: Annotated[
        pathlib.Path | None,
        typer.Option(help="A directory with the image's file system, for the steps to run in."),
    ] = None,
) -> None:
    """Execute the compiled workflow on this machine, as a cluster would."""
    from pipeline.kubeflow.local_argo import run_command

    problem = ClusterProblem.load(config, workspace)
    raise typer.Exit(run_command.run(problem, file, param, secret, parallel, image_root))


ExperimentOption = Annotated[
    str | None,
    typer.Option(
        "--experiment",
        help="The experiment that groups the runs.",
        show_default="the problem's name, created if missing",
    ),
]
CreateOption = Annotated[
    bool, typer.Option("--create-experiment", help="Creates the --experiment if it does not exist.")
]
TimezoneOption = Annotated[
    str,
    typer.Option(
        "--timezone",
        help="Time zone of the cluster's schedules: CRON_SCHEDULE_TIMEZONE of its controller. "
        "It affects only what is printed.",
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
        typer.Option(help="Name of the run.", show_default="the problem's name and the time"),
    ] = None,
    experiment: ExperimentOption = None,
    create_experiment: CreateOption = False,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="Follows the run to its end; the exit code is its verdict."),
    ] = False,
    poll: Annotated[
        float, typer.Option(min=0.01, help="Seconds between requests, with --wait.")
    ] = 10.0,
) -> None:
    """Upload the compiled workflow and run it once; an unchanged one is not uploaded again."""
    from pipeline.kubeflow.server import commands

    options = commands.JobOptions(file, param, name, experiment, create_experiment)
    problem = ClusterProblem.load(config, workspace)
    raise typer.Exit(commands.submit(connect, problem, options, wait, poll))


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
        str | None, typer.Option(help="Name of the schedule.", show_default="the problem's name")
    ] = None,
    experiment: ExperimentOption = None,
    create_experiment: CreateOption = False,
    timezone: TimezoneOption = "UTC",
    max_concurrency: Annotated[
        int, typer.Option(min=1, max=10, help="Maximum number of its runs at a time.")
    ] = 1,
    catchup: Annotated[
        bool, typer.Option("--catchup", help="Makes up for every missed run.")
    ] = False,
) -> None:
    """Upload the compiled workflow and run it on a schedule."""
    from pipeline.kubeflow.server import commands

    options = commands.JobOptions(file, param, name, experiment, create_experiment)
    problem = ClusterProblem.load(config, workspace)
    commands.schedule(connect, problem, options, cron, timezone, max_concurrency, catchup)


@schedules.command("list", epilog="Example:\n\n  kubeflow_runner.py schedules list")
@asks_the_server
def list_schedules(
    connect: Connect,
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    timezone: TimezoneOption = "UTC",
) -> None:
    """Show the schedules, and when each fires next."""
    from pipeline.kubeflow.server import commands

    commands.list_schedules(connect, ClusterProblem.load(config), timezone)


@schedules.command(epilog="Example:\n\n  kubeflow_runner.py schedules pause king_county")
@asks_the_server
def pause(
    connect: Connect,
    schedule: ScheduleArgument,
    config: ConfigOption = command_line.DEFAULT_CONFIG,
) -> None:
    """Stop a schedule from firing until it is resumed."""
    from pipeline.kubeflow.server import commands

    commands.change(connect, ClusterProblem.load(config), schedule, "pause")


@schedules.command(epilog="Example:\n\n  kubeflow_runner.py schedules resume king_county")
@asks_the_server
def resume(
    connect: Connect,
    schedule: ScheduleArgument,
    config: ConfigOption = command_line.DEFAULT_CONFIG,
) -> None:
    """Let a paused schedule fire again."""
    from pipeline.kubeflow.server import commands

    commands.change(connect, ClusterProblem.load(config), schedule, "resume")


@schedules.command(epilog="Example:\n\n  kubeflow_runner.py schedules delete king_county")
@asks_the_server
def delete(
    connect: Connect,
    schedule: ScheduleArgument,
    config: ConfigOption = command_line.DEFAULT_CONFIG,
) -> None:
    """Remove a schedule; the runs that it started stay."""
    from pipeline.kubeflow.server import commands

    commands.change(connect, ClusterProblem.load(config), schedule, "delete")


if __name__ == "__main__":
    no_proxy.exempt()
    command_line.main(app)
