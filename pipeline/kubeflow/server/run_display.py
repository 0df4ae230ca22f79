"""Display of a run on the cluster until it ends."""

import dataclasses
import time
from collections.abc import Callable, Collection

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from pipeline.kubeflow.server import pipelines_api
from pipeline.kubeflow.server.pipelines_api import PipelinesApi, Run
from pipeline.kubeflow.server.run_steps import folded
from pipeline.kubeflow.server.transport import ServerError

# Number of attempts at a request; the run itself does not depend on the answers.
_PATIENCE = 10
_NOT_SAID = "the server does not say why"
# Number of further requests for what may arrive later than the final state.
_LATE = 5


def follow(
    server: PipelinesApi,
    run_id: str,
    steps: Collection[str],
    console: Console,
    poll: float,
    metrics: Collection[str],
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """Prints the steps of a run as they end; returns when the run has ended.

    Args:
        server: the server that the run is on.
        run_id: the id of the run.
        steps: the names of the workflow's steps.
        console: receives the output.
        poll: seconds between requests.
        metrics: the names of the metrics that the run will report.
        sleep: waits for a number of seconds.

    Raises:
        ServerError: the server refuses a request, or has not answered several in a row.
    """
    shown: set[str] = set()
    late = _LATE
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while True:
            run = _ask(server, run_id, poll, sleep)
            run = dataclasses.replace(run, steps=folded(run.steps, steps))
            for step in run.steps:
                if step.state in pipelines_api.FINISHED and step.name not in shown:
                    shown.add(step.name)
                    line = f"{step.name:<20} {step.state:<8} {step.seconds:6.0f} s"
                    line += f"  ({step.tries} tries)" if step.tries > 1 else ""
                    console.print(line, markup=False, highlight=False)
            if run.state in pipelines_api.FINISHED:
                if late == 0 or not _is_incomplete(run, metrics):
                    return run
                late -= 1
            if console.is_terminal:
                live.update(_line(run), refresh=True)
            sleep(poll)


def _is_incomplete(run: Run, metrics: Collection[str]) -> bool:
    """Whether the server has yet to say more about a run that has ended."""
    if run.metrics is None:  # v2beta1, which stores the state first, and then the steps
        return not run.steps or any(step.state not in pipelines_api.FINISHED for step in run.steps)
    return run.state == pipelines_api.DONE and not set(metrics) <= set(run.metrics)


def _ask(server: PipelinesApi, run_id: str, poll: float, sleep: Callable[[float], None]) -> Run:
    for _ in range(_PATIENCE - 1):
        try:
            return server.run(run_id)
        except ServerError as error:
            if not error.passing:
                raise
        sleep(poll)
    return server.run(run_id)


def _line(run: Run) -> Text:
    running = [step.name for step in run.steps if step.state == pipelines_api.RUNNING]
    done = sum(step.state in pipelines_api.FINISHED for step in run.steps)
    return Text(f"{run.state}: {', '.join(running) or '...'} ({done} steps ended)", style="cyan")


def failure(run: Run) -> str:
    """Returns a line of markup that says why a run has failed.

    Args:
        run: a run from `follow`, with its steps in the order in which they ended.
    """
    step = next(
        (candidate for candidate in run.steps if candidate.state == pipelines_api.FAILED), None
    )
    if step is None:
        return f"[bold red]{run.state}:[/] {escape(run.message or _NOT_SAID)}"
    reason = " ".join((step.message or run.message or _NOT_SAID).split())
    tries = f" (try {step.tries} of {step.tries})" if step.tries > 1 else ""
    return f"[bold red]{escape(step.name)} failed:[/] {escape(reason)}{tries}"
