"""The command line on this machine: `python local_runner.py --help`."""

import os
import pathlib
import sys
from typing import Annotated

# Read once, when TensorFlow is imported: nothing below warnings on the screen or in the log.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer
from typer.exceptions import TyperException

from pipeline import config_file, errors
from pipeline.config import Config
from pipeline.workspace import Workspace

DEFAULT_CONFIG = pathlib.Path(__file__).parent / "data" / "king_county" / "pipeline.yaml"

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="From a raw table to a blessed, pushed model, on this machine.",
    epilog="Exit codes: 0 done (of run: blessed and pushed, or unchanged); 1 a step failed; "
    "2 wrong configuration, option or data; 3 not blessed, nothing pushed.",
)

ConfigOption = Annotated[
    pathlib.Path,
    typer.Option("--config", "-c", help="The problem's YAML file.", show_default=False),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Overrides a key of the configuration."),
]
PresetOption = Annotated[
    str | None,
    typer.Option("--preset", help="Takes the settings of one of the configuration's `presets`."),
]
WorkspaceOption = Annotated[
    pathlib.Path | None,
    typer.Option(
        "--workspace",
        "-w",
        help="Where the run keeps what it makes.",
        show_default="workspace/<name>",
    ),
]


@app.command(
    epilog="Examples:\n\n"
    "  local_runner.py run\n\n"
    "  local_runner.py run --config my_problem/pipeline.yaml\n\n"
    "  local_runner.py run --set train.max_steps=500 --set model.params.dropout=0.2"
)
def run(
    config: ConfigOption = DEFAULT_CONFIG,
    preset: PresetOption = None,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Run the pipeline; steps whose inputs did not change are taken from the cache."""
    from pipeline import local

    problem = _load(config, set_, preset)
    raise typer.Exit(local.run(problem, _workspace(problem, workspace)))


@app.command(
    epilog="Examples:\n\n"
    "  local_runner.py tune --config my_problem/pipeline.yaml\n\n"
    "  local_runner.py tune --set tune.trials=50 --set tune.parallel=4"
)
def tune(
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Search the hyperparameters that the configuration names, and show every trial."""
    from pipeline import local

    problem = _load(config, set_)
    if problem.tune is None:
        raise errors.UserError(
            f"{config}: tune: missing; add for example "
            "'tune: {trials: 20, search: {model.params.learning_rate: "
            "{low: 0.0003, high: 0.03, log: true}}}'"
        )
    raise typer.Exit(local.tune(problem, _workspace(problem, workspace)))


@app.command(epilog="Example:\n\n  local_runner.py predict --csv new_houses.csv --out prices.csv")
def predict(
    csv: Annotated[pathlib.Path, typer.Option(help="The rows to score, with a header.")],
    out: Annotated[pathlib.Path, typer.Option(help="The same rows with predictions.")],
    config: ConfigOption = DEFAULT_CONFIG,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Score a CSV of any size with the pushed model."""
    from pipeline import predict as predict_lib
    from pipeline import terminal

    problem = _load(config, set_)
    place = _workspace(problem, workspace)
    model = predict_lib.latest_version(problem.push.directory or place.serving)
    predict_lib.check_label(model, problem.label, problem.task)
    with terminal.logging_to(place.new_log("predict")) as console:
        rows = predict_lib.predict(model, csv, out)
        console.print(f"{out}: {rows:,} rows scored by version {model.name}", highlight=False)


def _load(path: pathlib.Path, overrides: list[str] | None, preset: str | None = None) -> Config:
    config = config_file.load(path, overrides or (), preset)
    # The user's own model_fn may stand beside the configuration.
    sys.path.append(str(config.folder))
    return config


def _workspace(config: Config, root: pathlib.Path | None) -> Workspace:
    return Workspace((root or pathlib.Path("workspace") / config.name).resolve())


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
