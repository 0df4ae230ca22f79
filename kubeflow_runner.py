"""The command line for clusters: `python kubeflow_runner.py --help`."""

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
    parameters = command_line.pairs("--param", param)
    code = executor.run(problem, place, _file(place, file), parameters, secrets, parallel)
    raise typer.Exit(code)


def _load(path: pathlib.Path, overrides: list[str] | None, preset: str | None = None) -> Config:
    config = command_line.load(path, overrides, preset)
    if config.kubeflow is None:
        raise errors.UserError(
            f"{path}: kubeflow: missing; add for example 'kubeflow: {{image: "
            f"registry.example.com/{config.name}:1.0, workspace: gs://bucket/{config.name}}}'"
        )
    return config


def _place(config: Config, root: pathlib.Path | None) -> Workspace:
    return Workspace(command_line.workspace(config, root).root / "kubeflow")


def _file(place: Workspace, file: pathlib.Path | None) -> pathlib.Path:
    return file or place.root / "workflow.yaml"


if __name__ == "__main__":
    command_line.main(app)
