"""The command line for runs on this machine: `python local_runner.py --help`."""

import os
import pathlib
from typing import Annotated

from pipeline.console import interrupts

if __name__ == "__main__":
    interrupts.end_process()

# TensorFlow reads this once, on import; 2 hides all of its C++ messages below errors.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import typer

from models import errors
from models.processes import no_proxy
from pipeline.console import command_line, messages
from pipeline.console.command_line import ConfigOption, PresetOption, SetOption, WorkspaceOption

app = command_line.app(
    "From a raw table to a blessed, pushed model, on this machine.",
    "Exit codes: 0 done (for run: blessed and pushed, or unchanged); 1 a step failed; "
    "2 wrong configuration, option or data; 3 not blessed or kept back; 130 interrupted.",
)


NewBaselineOption = Annotated[
    str | None,
    typer.Option(
        metavar="WHY",
        help="Judges this run's model without comparing it with the deployed one; the reason "
        "is recorded with the verdict and the deployment.",
    ),
]


@app.command(
    epilog="Examples:\n\n"
    "  local_runner.py run\n\n"
    "  local_runner.py run --config my_problem/pipeline.yaml\n\n"
    "  local_runner.py run --set train.max_steps=500 --set model.params.dropout=0.2\n\n"
    '  local_runner.py run --new-baseline "rooms are counted differently now"'
)
def run(
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    preset: PresetOption = None,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
    new_baseline: NewBaselineOption = None,
) -> None:
    """Run the pipeline; steps whose inputs did not change are taken from the cache."""
    from pipeline.config import gates
    from pipeline.local import pipeline_run

    if new_baseline is not None and not new_baseline.strip():
        raise errors.UserError(
            "--new-baseline: is empty; give the reason for not comparing with the deployed model"
        )
    problem = command_line.load(config, set_, preset)
    if new_baseline is not None and problem.gates is None:
        raise errors.UserError(f"--new-baseline: {gates.NOTHING_COMPARED}")
    resolved_workspace = command_line.workspace(problem, workspace)
    raise typer.Exit(pipeline_run.run(problem, resolved_workspace, (new_baseline or "").strip()))


@app.command(
    epilog="Examples:\n\n"
    "  local_runner.py tune --config my_problem/pipeline.yaml\n\n"
    "  local_runner.py tune --set tune.trials=50 --set tune.parallel=4"
)
def tune(
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Search the hyperparameters that the configuration names, and show every trial."""
    from pipeline.local import pipeline_run

    problem = command_line.load(config, set_)
    if problem.tune is None:
        raise errors.UserError(
            f"{config}: tune: missing; add for example "
            "'tune: {trials: 20, search: {model.params.learning_rate: "
            "{low: 0.0003, high: 0.03, log: true}}}'"
        )
    raise typer.Exit(pipeline_run.tune(problem, command_line.workspace(problem, workspace)))


@app.command(epilog="Example:\n\n  local_runner.py predict --csv new_houses.csv --out prices.csv")
def predict(
    csv: Annotated[
        pathlib.Path, typer.Option(help="The rows to score: CSV (also .gz) or Parquet files.")
    ],
    out: Annotated[
        pathlib.Path, typer.Option(help="The CSV file to write: the same rows with predictions.")
    ],
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
) -> None:
    """Score CSV or Parquet of any size with the pushed model.

    The input is a file, a folder of files or a pattern in quotes; it is read as in training.
    """
    from rich.markup import escape

    from pipeline.console import terminal
    from pipeline.scoring import exported_model
    from pipeline.scoring import predict as predict_lib

    problem = command_line.load(config, set_)
    resolved_workspace = command_line.workspace(problem, workspace)
    serving = problem.push.directory or resolved_workspace.serving
    model = exported_model.read(exported_model.latest_version(serving))
    model.check_label(problem.label, problem.task)
    with (
        resolved_workspace.temporary(),
        terminal.logging_to(resolved_workspace.new_log("predict")) as console,
    ):
        data = problem.data
        most = data.max_bad_share if data.on_bad_rows == "quarantine" else 0.0
        scored = predict_lib.predict(model, csv, out, data.reading, most)
        for note in scored.notes:
            messages.say(console, f"note  {escape(note)}")
        text = f"{scored.rows:,} rows scored by version {model.directory.name}"
        messages.say(console, f"{messages.escaped(out)}: {text}")


@app.command(epilog="Example:\n\n  local_runner.py tensorboard --port 6007")
def tensorboard(
    config: ConfigOption = command_line.DEFAULT_CONFIG,
    set_: SetOption = None,
    workspace: WorkspaceOption = None,
    port: Annotated[int, typer.Option(help="Port to serve on; 0 picks a free one.")] = 6006,
) -> None:
    """Show the curves of all trainings and of a cluster's tasks, until Ctrl-C."""
    from pipeline.local import tensorboard

    problem = command_line.load(config, set_)
    tensorboard.show(command_line.workspace(problem, workspace), port)


if __name__ == "__main__":
    no_proxy.exempt()
    command_line.main(app)
