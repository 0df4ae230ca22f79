"""Runs the pipeline on this machine with Beam, and tells what happened."""

import os
import pathlib
import re
import time
import traceback

from rich.console import Console
from rich.markup import escape

from pipeline import checks, terminal
from pipeline import progress as progress_lib
from pipeline.config import Config
from pipeline.errors import BAD_INPUT, FAILED, INTERRUPTED, NOT_BLESSED, OK
from pipeline.progress import CACHED, Node, Progress
from pipeline.workspace import Workspace


def run(config: Config, workspace: Workspace) -> int:
    """Runs the whole pipeline and prints its verdict.

    Args:
        config: the problem.
        workspace: of this problem; held for the run.

    Returns:
        An exit code of `pipeline.errors`.

    Raises:
        UserError: the data or the model does not fit the configuration, or the workspace is in use.
    """
    with workspace.locked():
        log = workspace.new_log("run")
        with terminal.logging_to(log) as console:
            checks.check_data(config)
            _say(console, f"log: {_shown(log)}")
            return _run(config, workspace, console, log)


def _run(config: Config, workspace: Workspace, console: Console, log: pathlib.Path) -> int:
    started = time.monotonic()
    with progress_lib.spinner(console, "importing TensorFlow and TFX"):
        # Seconds of imports, which `--help` and mistakes in the data need not wait for.
        from components.data_gate import AnomaliesFound
        from pipeline import beam_runner, results
        from pipeline.pipeline import create_pipeline

        terminal.quiet_logging()
        checks.check_model(config)
        pipeline = create_pipeline(config, workspace)
    progress = Progress(console, [component.id for component in pipeline.components])
    try:
        with progress.shown():
            executions = beam_runner.run(pipeline, progress)
    except (Exception, KeyboardInterrupt) as error:
        failed = next((node for node in progress.nodes.values() if node.error), None)
        if isinstance(error if failed is None else failed.error, KeyboardInterrupt):
            _say(console, "\nInterrupted; the same command continues from where it stopped.")
            # Beam's worker threads would go on; what they were writing does not count yet.
            os._exit(INTERRUPTED)
        if failed is None:
            raise
        traceback.print_exc()
        bad_data = isinstance(failed.error, AnomaliesFound)
        _print_failure(console, failed, log, whole_message=bad_data)
        return BAD_INPUT if bad_data else FAILED
    outcome = results.read(workspace, executions)
    _print_verdict(console, outcome.verdict)
    _print_push(console, outcome, unchanged=progress.nodes["Pusher"].state == CACHED)
    _say(console, f"[dim]{time.monotonic() - started:.0f} s[/]")
    return OK if outcome.blessed else NOT_BLESSED


def _say(console: Console, text: str) -> None:
    """Prints a line as it is: neither wrapped, which would break paths, nor coloured by guess."""
    console.print(text, highlight=False, soft_wrap=True)


def _shown(path: pathlib.Path) -> pathlib.Path:
    """As the user would type it."""
    here = pathlib.Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _print_failure(console: Console, node: Node, log: pathlib.Path, whole_message: bool) -> None:
    # Beam puts the name of its own step behind the message.
    text = re.sub(r"\s*\[while running '.*?'\]", "", str(node.error)).strip()
    if not whole_message:
        text = next(iter(text.splitlines()), "")
    if not isinstance(node.error, ValueError):
        text = f"{type(node.error).__name__}: {text}"
    _say(console, f"\n[bold red]{node.name} failed:[/] {escape(text)}")
    _say(console, f"The trace is at the end of {_shown(log)}")


def _print_verdict(console: Console, verdict: dict) -> None:
    _say(console, "")
    for line in verdict["lines"]:
        mark = "[green]pass[/]" if line["passed"] else "[bold red]FAIL[/]"
        _say(console, f"{mark}  {escape(line['text'])}")
    for note in verdict["notes"]:
        _say(console, f"note  {escape(note)}")
    _say(console, "")


def _print_push(console: Console, outcome, unchanged: bool) -> None:
    if not outcome.blessed:
        _say(
            console,
            "[bold red]Not blessed[/], so not pushed: what was deployed before stays deployed.",
        )
    elif unchanged:
        _say(console, f"[bold green]Blessed[/] and unchanged; deployed at {_shown(outcome.pushed)}")
    else:
        _say(console, f"[bold green]Blessed[/] and pushed to {_shown(outcome.pushed)}")
