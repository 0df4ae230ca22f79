"""Runs the pipeline on this machine with Beam, and tells what happened."""

import pathlib
import time
import traceback

from rich.console import Console
from rich.markup import escape

from pipeline import checks, terminal
from pipeline.config import Config
from pipeline.errors import FAILED, NOT_BLESSED, OK
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
            console.print(f"log: {log}", highlight=False, soft_wrap=True)
            checks.check_data(config)
            with console.status("importing TensorFlow and TFX"):
                # Seconds of imports, which `--help` and a mistake above need not wait for.
                from pipeline import beam_runner, results
                from pipeline.pipeline import create_pipeline

                terminal.quiet_logging()
                checks.check_model(config)
                pipeline = create_pipeline(config, workspace)
            progress = Progress(console, [component.id for component in pipeline.components])
            started = time.monotonic()
            try:
                with progress.shown():
                    executions = beam_runner.run(pipeline, progress)
            except Exception:
                failed = next((node for node in progress.nodes.values() if node.error), None)
                if failed is None:
                    raise
                traceback.print_exc()
                _print_failure(console, failed, log)
                return FAILED
            outcome = results.read(workspace, executions)
            _print_verdict(console, outcome.verdict)
            pusher = progress.nodes["Pusher"]
            _print_push(console, outcome, unchanged=pusher.state == CACHED)
            console.print(f"{time.monotonic() - started:.0f} s", style="dim", highlight=False)
            return OK if outcome.blessed else NOT_BLESSED


def _print_failure(console: Console, node: Node, log: pathlib.Path) -> None:
    cause: BaseException | None = node.error
    while cause is not None and (cause.__cause__ or cause.__context__):
        cause = cause.__cause__ or cause.__context__
    kind = type(cause).__name__
    message = str(cause) if isinstance(cause, ValueError) else f"{kind}: {cause}"
    console.print(
        f"[bold red]{node.name} failed:[/] {escape(message)}", highlight=False, soft_wrap=True
    )
    console.print(f"The trace is at the end of {log}", highlight=False, soft_wrap=True)


def _print_verdict(console: Console, verdict: dict) -> None:
    console.print()
    for line in verdict["lines"]:
        mark = "[green]pass[/]" if line["passed"] else "[bold red]FAIL[/]"
        console.print(f"{mark}  {escape(line['text'])}", highlight=False, soft_wrap=True)
    for note in verdict["notes"]:
        console.print(f"note  {escape(note)}", highlight=False, soft_wrap=True)
    console.print()


def _print_push(console: Console, outcome, unchanged: bool) -> None:
    if not outcome.blessed:
        console.print(
            "[bold red]Not blessed[/], so not pushed: what was deployed before stays deployed.",
            highlight=False,
            soft_wrap=True,
        )
    elif unchanged:
        console.print(
            f"[bold green]Blessed[/] and unchanged; deployed at {outcome.pushed}",
            highlight=False,
            soft_wrap=True,
        )
    else:
        console.print(
            f"[bold green]Blessed[/] and pushed to {outcome.pushed}",
            highlight=False,
            soft_wrap=True,
        )
