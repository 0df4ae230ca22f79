"""Runs the pipeline, or its search alone, on this machine and prints the results."""

import contextlib
import dataclasses
import pathlib
import re
import time
import traceback
from collections.abc import Iterator

from etils import epath
from rich.console import Console
from rich.markup import escape

from components import deployments
from models import errors
from models.distributed import layout
from models.errors import FAILED, INTERRUPTED, NOT_BLESSED, OK, Ended, UserError
from models.processes import exit_guard
from models.progress.observer import Observer, observing
from pipeline.config.configuration import Config
from pipeline.console import messages, shortage, terminal
from pipeline.console import node_progress as progress_lib
from pipeline.console.node_progress import Node, Progress
from pipeline.graph import nodes
from pipeline.local import memory_bound
from pipeline.preflight import data_check, engine_check, model_check
from pipeline.storage import metadata_store
from pipeline.storage.workspace import Workspace


def run(config: Config, workspace: Workspace, new_baseline: str = "") -> int:
    """Runs the whole pipeline and prints its verdict.

    Args:
        config: the problem's configuration.
        workspace: the problem's workspace; locked during the run.
        new_baseline: the reason not to compare with the deployed model; empty to compare.

    Returns:
        An exit code of `models.errors`.

    Raises:
        UserError: the data or the model does not fit the configuration, the engine does not answer,
            the workspace is in use, or the record of deployments cannot be read.
    """
    deployments.read(epath.Path(config.push.directory or workspace.serving))
    with _held(config, workspace, "run") as held:
        started = time.monotonic()
        executions, _, code = _execute(held, config, new_baseline=new_baseline)
        if code is not None:
            return code
        from pipeline.local import results

        outcome = results.read(workspace, executions)
        if config.tune:
            _print_tuned(held.console, results.tuning(workspace, executions))
        training = results.training(workspace, executions)
        # The record of a cached training may predate these keys.
        messages.show_restarts(held.console, training.get("restarts", []))
        messages.show_notes(held.console, training.get("notes", []))
        if outcome.quarantined:
            quarantine = pathlib.Path(held.as_known(str(outcome.quarantine)))
            messages.show_quarantine(held.console, outcome.quarantined, quarantine)
        messages.show_verdict(held.console, outcome.verdict)
        messages.show_push(
            held.console, outcome.blessed, outcome.pushed, outcome.unchanged, outcome.kept_back
        )
        messages.say(held.console, f"[dim]{time.monotonic() - started:.0f} s, {held.watch}[/]")
        return OK if outcome.pushed else NOT_BLESSED


def tune(config: Config, workspace: Workspace) -> int:
    """Runs the pipeline up to the Tuner, then prints and plots the results of its trials.

    See `run` for the arguments and exit codes.

    Raises:
        UserError: the data or the model does not fit the configuration, the engine does not answer,
            or the workspace is in use.
    """
    with _held(config, workspace, "tune") as held:
        executions, _, code = _execute(held, config, last=nodes.TUNER)
        if code is not None:
            return code
        from pipeline.console import tuning_chart
        from pipeline.console.search_result import Tuning
        from pipeline.local import results

        tuning = Tuning(results.tuning(workspace, executions))
        chart = workspace.root / "tuning.png"
        tuning_chart.draw(tuning, chart)
        if not held.console.is_terminal:
            held.console.width = 200  # a file has no width to wrap the table to
        held.console.print(tuning.table())
        messages.say(held.console, escape(tuning.conclusion()))
        if tuning.best is not tuning.configured_trial:
            messages.say(
                held.console,
                "`run` uses these parameters as long as the configuration has a `tune:`. "
                "To keep them:\n",
            )
            messages.say(held.console, escape(tuning.yaml()))
        messages.say(held.console, f"\nchart: {messages.escaped(chart)}")
        return OK


@dataclasses.dataclass(frozen=True)
class _Held:
    """A locked workspace, with the console, log and memory watch of the command that uses it.

    Attributes:
        workspace: the workspace under the user's path.
        plain: the same workspace under a path without special characters.
        console: writes to the user's terminal.
        log: the file that receives all other output.
        watch: measures and bounds the memory of the run.
    """

    workspace: Workspace
    plain: Workspace
    console: Console
    log: pathlib.Path
    watch: memory_bound.Watch

    def as_known(self, text: str) -> str:
        """Returns a text in which paths of `plain` are replaced by the user's."""
        return text.replace(str(self.plain.root), str(self.workspace.root))


@contextlib.contextmanager
def _held(config: Config, workspace: Workspace, command: str) -> Iterator[_Held]:
    """Context manager: locks a workspace for a command and checks the engine and the data."""
    _check_no_task()
    with workspace.locked(), workspace.plain() as plain, plain.temporary():
        log = workspace.new_log(command)
        with terminal.logging_to(log) as console:
            engine_check.check_engine(config.beam)
            report = data_check.check_data(config)
            messages.say(console, f"log: {messages.escaped(log)}")
            if report:
                print(report, flush=True)  # into the log
                messages.show_table(console, report)
            messages.show_notes(
                console, metadata_store.prepare(workspace.metadata, plain.artifacts)
            )

            def report_exit(text: str) -> None:
                messages.say(console, f"\n[bold red]Failed:[/] {escape(text)}")

            with exit_guard.guarded(report_exit):
                yield _Held(workspace, plain, console, log, memory_bound.Watch(config.memory_mb))


def _check_no_task() -> None:
    """Checks that `TF_CONFIG` does not make this process a task of a training cluster.

    Raises:
        UserError: it does, or it is malformed.
    """
    if cluster := layout.in_environment():
        raise UserError(
            f"TF_CONFIG: found the task {cluster.task} of a cluster, expected none: a run on this "
            "machine starts the tasks of its cluster itself (train.cluster); unset TF_CONFIG"
        )


@dataclasses.dataclass(frozen=True)
class _NodeNotes(Observer):
    """Observer that shows the progress of a training or a search beside its node."""

    table: Progress

    def training_advanced(self, progress: str) -> None:
        self.table.annotate(nodes.TRAINER, progress)

    def search_advanced(self, progress: str) -> None:
        self.table.annotate(nodes.TUNER, progress)


def _execute(
    held: _Held, config: Config, last: str | None = None, new_baseline: str = ""
) -> tuple[dict[str, int], Progress, int | None]:
    """Runs the nodes up to `last`; returns executions, progress, and an exit code on failure."""
    console = held.console
    with progress_lib.spinner(console, "importing TensorFlow and TFX"):
        # These imports take seconds; `--help` and errors in the data must not wait for them.
        from pipeline.beam import dag_runner, patches, workers
        from pipeline.graph import arguments, beam_args
        from pipeline.graph.pipeline import create_pipeline
        from pipeline.local import worker_count

        terminal.quiet_logging()
        model_check.check_model(config)
        pipeline = create_pipeline(
            config,
            arguments.of_workspace(config, held.workspace, held.plain, new_baseline),
            last,
        )
    progress = Progress(console, [component.id for component in pipeline.components])
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(patches.applied(beam_args.for_components(config.beam)))
            # Workers first: they are forked, and forking is safe only before threads start.
            stack.enter_context(workers.ready(worker_count.of_run(config)))
            stack.enter_context(held.watch)
            stack.enter_context(progress.shown())
            stack.enter_context(observing(_NodeNotes(progress)))
            return dag_runner.run(pipeline, progress), progress, None
    except (Exception, KeyboardInterrupt) as error:
        if held.watch.is_exceeded:
            _print_exceeded(held, progress)
            raise Ended(FAILED) from None
        failed = next((node for node in progress.nodes.values() if node.error), None)
        if isinstance(error if failed is None else failed.error, KeyboardInterrupt):
            messages.say(console, f"\n{errors.INTERRUPTED_TEXT}")
            # Beam's threads would go on; their unfinished output is not registered yet.
            raise Ended(INTERRUPTED) from None
        if failed is None:
            raise
        with contextlib.suppress(OSError):  # the log's disk may be full
            traceback.print_exc()
        _print_failure(held, failed)
        code = failed.error.exit_code if isinstance(failed.error, UserError) else FAILED
        return {}, progress, code


def _print_failure(held: _Held, node: Node) -> None:
    # Beam appends the name of its own step to the message.
    text = re.sub(r"\s*\[while running '.*?'\]", "", str(node.error)).strip()
    if not isinstance(node.error, UserError):
        text = next(iter(text.splitlines()), "")
        text = shortage.advice(node.error) or f"{type(node.error).__name__}: {text}"
    text = held.as_known(text)
    messages.say(held.console, f"\n[bold red]{node.name} failed:[/] {escape(text)}")
    messages.say(held.console, f"The trace is at the end of {messages.escaped(held.log)}")


def _print_exceeded(held: _Held, progress: Progress) -> None:
    at_work = (progress_lib.RUNNING, progress_lib.INTERRUPTED)
    where = [f" in {node.name}" for node in progress.nodes.values() if node.state in at_work]
    messages.say(
        held.console,
        f"\n[bold red]Too much memory{''.join(where)}:[/] {held.watch.peak_mb:,} MB, more than "
        f"memory_mb ({held.watch.bound_mb:,}); raise it, lower train.cache_mb (for the Trainer) or "
        "beam.workers (for other steps), or use an engine (beam.engine)",
    )


def _print_tuned(console: Console, results: dict) -> None:
    from pipeline.console.search_result import Tuning

    messages.say(console, f"\ntuned: {escape(Tuning(results).chosen())}")
