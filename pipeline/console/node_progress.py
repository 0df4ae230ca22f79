"""The progress of a run's nodes, shown as a live table or, without a terminal, line by line."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.spinner import Spinner
from rich.table import Table

WAITING, RUNNING, CACHED, DONE = "waiting", "running", "cached", "done"
FAILED, INTERRUPTED, SKIPPED = "failed", "interrupted", "skipped"

_STYLES = {
    WAITING: "dim",
    RUNNING: "bold cyan",
    CACHED: "green",
    DONE: "green",
    FAILED: "bold red",
    INTERRUPTED: "yellow",
    SKIPPED: "dim",
}


@dataclasses.dataclass
class Node:
    """The state of one node.

    Attributes:
        name: the node's id.
        state: waiting, running, cached, done, failed, interrupted or skipped.
        started, seconds: when it started (monotonic clock), and how long it took.
        error: the error that the node raised.
        note: the node's progress, in words.
    """

    name: str
    state: str = WAITING
    started: float = 0.0
    seconds: float = 0.0
    error: BaseException | None = None
    note: str = ""


def spinner(console: Console, text: str) -> Live:
    """Returns a context manager that shows a spinner.

    Unlike `console.status` it leaves stdout and stderr alone: a logger created meanwhile keeps the
    stream that it finds, which must be the log's.
    """
    return Live(
        Spinner("dots", text),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


class Progress:
    """The progress of one run's nodes, tracked and shown."""

    def __init__(self, console: Console, names: Sequence[str]):
        self.nodes = {name: Node(name) for name in names}
        self._console = console
        self._live = Live(
            get_renderable=self._table,
            console=console,
            refresh_per_second=4,
            # stdout and stderr are the log by now; only the table is on the terminal.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Shows the table while the nodes run; it stays on the screen afterwards."""
        if not self._console.is_terminal:
            yield
            return
        with self._live:
            yield

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[Node]:
        """Marks a node running, then done, failed or interrupted; the caller may set `CACHED`."""
        node = self.nodes[name]
        node.state, node.started = RUNNING, time.monotonic()
        try:
            yield node
            if node.state == RUNNING:
                node.state = DONE
        except BaseException as error:
            node.state = INTERRUPTED if isinstance(error, KeyboardInterrupt) else FAILED
            node.error = error
            raise
        finally:
            node.seconds = time.monotonic() - node.started
            if not self._console.is_terminal:
                line = f"{node.name:<20} {node.state:<8} {node.seconds:6.1f} s  {node.note}"
                self._console.print(line.rstrip(), highlight=False, markup=False)

    def annotate(self, name: str, text: str) -> None:
        """Sets the note shown beside a node."""
        self.nodes[name].note = text

    def _table(self) -> Table:
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("node", min_width=20)
        table.add_column("state", min_width=8)
        table.add_column("seconds", justify="right", min_width=7)
        table.add_column()
        for node in self.nodes.values():
            seconds = node.seconds
            if node.state == RUNNING:
                seconds = time.monotonic() - node.started
            table.add_row(
                node.name,
                f"[{_STYLES[node.state]}]{node.state}[/]",
                "" if node.state in (WAITING, SKIPPED) else f"{seconds:.1f}",
                escape(node.note),
            )
        return table
