"""The command line for clusters: `python kubeflow_runner.py --help`."""

import enum
import os
import pathlib
from typing import Annotated

# Read once, when TensorFlow is imported: nothing below warnings on the screen or in the log.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer

from pipeline import command_line, errors
from pipeline.command_line import ConfigOption, PresetOption, SetOption, WorkspaceOption
from pipeline.config import Config
from pipeline.workspace import Workspace

app = command_line.app(
    "The same pipeline on Kubeflow: compiled, checked, executed, submitted, scheduled.",
    "Exit codes: 0 done (of run: blessed and pushed, or unchanged); 1 a step failed; "
    "2 wrong configuration, option or data; 3 not blessed, nothing pushed.",
)

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
    """Write what a cluster runs: an Argo Workflow for Kubeflow Pipelines."""
    from pipeline.kubeflow import compile_command

    problem = _load(config, set_, preset)
    raise typer.Exit(compile_command.run(problem, _place(problem, workspace)))


@app.command(epilog="Example:\n\n  kubeflow_runner.py check")
def check(
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    workspace: WorkspaceOption = None,
    file: FileOption = None,
) -> None:
    """Check the compiled workflow without a cluster: types, references, leaks, what steps run."""
    from pipeline.kubeflow import lint

    raise typer.Exit(lint.check_command(_file(_place(_load(config, None), workspace), file)))


@app.command(
    epilog="Examples:\n\n"
    "  kubeflow_runner.py run\n\n"
    "  kubeflow_runner.py run --param max-steps=500 --parallel 4"
)
def run(
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    set_: SetOption = None,
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
    from pipeline.kubeflow.executor import run as executor

    problem = _load(config, set_)
    place = _place(problem, workspace)
    secrets: dict[str, dict[str, str]] = {}
    for name, value in command_line.pairs("--secret", secret).items():
        of, separator, key = name.partition("/")
        if not separator:
            raise errors.UserError(f"--secret {name}: expected NAME/KEY=VALUE, as db/password=x")
        secrets.setdefault(of, {})[key] = value
    parameters = _parameters(problem, param)
    code = executor.run(
        problem, place, _file(place, file), parameters, secrets, parallel, image_root
    )
    raise typer.Exit(code)


HostOption = Annotated[
    str | None,
    typer.Option(
        "--host",
        envvar="KF_PIPELINES_ENDPOINT",
        help="The Kubeflow Pipelines API.",
        show_default="kubeflow.host; else the cluster we are in",
    ),
]
NamespaceOption = Annotated[
    str | None,
    typer.Option("--namespace", help="Of the runs.", show_default="kubeflow.namespace"),
]
TokenOption = Annotated[
    str | None,
    typer.Option("--token", envvar="KFP_TOKEN", help="A bearer token.", show_envvar=True),
]
TokenFileOption = Annotated[
    pathlib.Path | None, typer.Option("--token-file", help="A file with the bearer token.")
]
CookiesOption = Annotated[
    str | None,
    typer.Option(
        "--cookies", envvar="KFP_COOKIES", help="Of a login page: authservice_session=..."
    ),
]
CertificateOption = Annotated[
    pathlib.Path | None,
    typer.Option("--ca-certificate", help="Whom to trust for the server's certificate."),
]
ExperimentOption = Annotated[
    str | None,
    typer.Option("--experiment", help="Of the run.", show_default="the problem's name"),
]
CreateOption = Annotated[
    bool, typer.Option("--create-experiment", help="Make the experiment if there is none.")
]


@app.command(
    epilog="Examples:\n\n"
    "  kubeflow_runner.py submit --host http://localhost:8080 --wait\n\n"
    "  kubeflow_runner.py submit --param max-steps=3000 --experiment pricing --create-experiment"
)
def submit(
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
    file: FileOption = None,
    param: ParamOption = None,
    host: HostOption = None,
    namespace: NamespaceOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    cookies: CookiesOption = None,
    ca_certificate: CertificateOption = None,
    experiment: ExperimentOption = None,
    create_experiment: CreateOption = False,
    name: Annotated[str | None, typer.Option(help="Of the run.")] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Follow the run to its end; its verdict is the code.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 10,
) -> None:
    """Upload the compiled workflow and start a run of it."""
    problem = _load(config, set_)
    connection = _connection(problem, host, namespace, token, token_file, cookies, ca_certificate)
    place = _file(_place(problem, workspace), file)
    parameters = _parameters(problem, param)
    service = _service(problem, connection)
    run = service.submit(place, parameters, experiment, name, create_experiment)
    if wait:
        raise typer.Exit(service.follow(run, every))


@app.command(
    epilog="Example:\n\n"
    "  kubeflow_runner.py schedule --cron '0 3 * * *' --host http://localhost:8080"
)
def schedule(
    cron: Annotated[str, typer.Option(help="Five fields: minute, hour, day, month, weekday.")],
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
    file: FileOption = None,
    param: ParamOption = None,
    host: HostOption = None,
    namespace: NamespaceOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    cookies: CookiesOption = None,
    ca_certificate: CertificateOption = None,
    experiment: ExperimentOption = None,
    create_experiment: CreateOption = False,
    name: Annotated[
        str | None, typer.Option(help="Of the recurring run.", show_default="the problem's name")
    ] = None,
) -> None:
    """Run the compiled workflow again and again."""
    problem = _load(config, set_)
    connection = _connection(problem, host, namespace, token, token_file, cookies, ca_certificate)
    place = _file(_place(problem, workspace), file)
    parameters = _parameters(problem, param)
    _service(problem, connection).schedule(
        place, cron, parameters, experiment, name, create_experiment
    )


class Action(str, enum.Enum):
    """What to do with recurring runs."""

    list = "list"
    pause = "pause"
    resume = "resume"
    delete = "delete"


@app.command(
    epilog="Examples:\n\n"
    "  kubeflow_runner.py schedules list\n\n"
    "  kubeflow_runner.py schedules pause king_county"
)
def schedules(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    which: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The recurring run's name or id.")
    ] = None,
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    host: HostOption = None,
    namespace: NamespaceOption = None,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    cookies: CookiesOption = None,
    ca_certificate: CertificateOption = None,
) -> None:
    """List the recurring runs; pause, resume or delete one."""
    problem = _load(config, None)
    if (which is None) != (action is Action.list):
        expected = "no name" if which else "the recurring run's name or id"
        raise errors.UserError(f"schedules {action.value}: expected {expected}")
    connection = _connection(problem, host, namespace, token, token_file, cookies, ca_certificate)
    service = _service(problem, connection)
    if which is None:
        service.show_schedules()
    else:
        getattr(service, action.value)(which)


def _connection(
    config: Config,
    host: str | None,
    namespace: str | None,
    token: str | None,
    token_file: pathlib.Path | None,
    cookies: str | None,
    ca_certificate: pathlib.Path | None,
):
    from pipeline.kubeflow.connection import Connection

    assert config.kubeflow
    if token_file:
        try:
            token = token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise errors.UserError(f"--token-file {token_file}: {error.strerror}") from None
    return Connection(
        host or config.kubeflow.host,
        namespace or config.kubeflow.namespace,
        token,
        cookies,
        ca_certificate,
    )


def _service(config: Config, connection):
    from rich.console import Console

    from pipeline.kubeflow.service import Service

    return Service(config, connection, Console())


def _load(path: pathlib.Path, overrides: list[str] | None, preset: str | None = None) -> Config:
    config = command_line.load(path, overrides, preset)
    if config.kubeflow is None:
        raise errors.UserError(
            f"{path}: kubeflow: missing; add for example 'kubeflow: {{image: "
            f"registry.example.com/{config.name}:1.0, workspace: /mnt/pipelines/{config.name}, "
            "volumes: {pipelines: /mnt/pipelines}}'"
        )
    return config


def _parameters(config: Config, given: list[str] | None) -> dict[str, str]:
    from pipeline.kubeflow import run_parameters

    found = command_line.pairs("--param", given)
    run_parameters.check(config, found)
    return found


def _place(config: Config, root: pathlib.Path | None) -> Workspace:
    return Workspace(command_line.workspace(config, root).root / "kubeflow")


def _file(place: Workspace, file: pathlib.Path | None) -> pathlib.Path:
    return file or place.root / "workflow.yaml"


if __name__ == "__main__":
    command_line.main(app)
