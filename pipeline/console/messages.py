"""Messages about a run that commands print to the console."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from pipeline.preflight.table_report import TableReport

_MOST_COLUMNS = 40
"""For a wider table, only columns with odd values are shown."""


def say(console: Console, text: str) -> None:
    """Prints a line without wrapping, which would break paths, or automatic highlighting."""
    console.print(text, highlight=False, soft_wrap=True)


def shown(path: pathlib.PurePath) -> pathlib.PurePath:
    """Returns a path as the user would type it: relative to the current directory, if below it."""
    cwd = pathlib.Path.cwd()
    return path.relative_to(cwd) if path.is_relative_to(cwd) else path


def escaped(path: pathlib.PurePath) -> str:
    """Returns `shown(path)` escaped for `say`, so that `[v1]` in it is not read as markup."""
    return escape(str(shown(path)))


def show_table(console: Console, report: "TableReport") -> None:
    """Prints the columns of a table and notes on it, if there are any notes."""
    if not report.notes:
        return
    from pipeline.preflight import table_report  # slow to import; `--help` must not wait

    columns = report.columns
    if len(columns) > _MOST_COLUMNS:
        columns = tuple(column for column in columns if column.odd or column.unreadable)
    drawn = Table(*table_report.HEAD, box=box.SIMPLE, pad_edge=False)
    for column in columns:
        drawn.add_row(*map(escape, table_report.cells(column)))
    if columns:
        console.print(drawn)
    for note in report.notes:
        say(console, f"note  {escape(note)}")
    say(console, "")


def show_verdict(console: Console, verdict: Mapping[str, Any]) -> None:
    """Prints every bound and whether the model meets it (`components.evaluator.verdict.make`)."""
    say(console, "")
    for line in verdict["lines"]:
        mark = "[green]pass[/]" if line["passed"] else "[bold red]FAIL[/]"
        say(console, f"{mark}  {escape(line['text'])}")
    for note in verdict["notes"]:
        say(console, f"note  {escape(note)}")
    say(console, "")


def show_quarantine(console: Console, rows: int, folder: pathlib.PurePath) -> None:
    """Prints how many rows could not be read, and where they were put."""
    what = (
        "1 row could not be read and was"
        if rows == 1
        else f"{rows} rows could not be read and were"
    )
    say(console, f"\n{what} left out; see {escaped(folder)}")


def show_restarts(console: Console, restarts: Sequence[Mapping[str, Any]]) -> None:
    """Prints which tasks of a cluster were restarted, and why (`trainer.RECORD`)."""
    if restarts:
        say(console, "")
    for restart in restarts:
        where = f"{restart['reason']}, at step {restart['step']:,}"
        say(console, f"note  {restart['task']} was restarted: it {escape(where)}")


def show_notes(console: Console, notes: Sequence[str]) -> None:
    """Prints notes, such as decisions made for the user."""
    if notes:
        say(console, "")
    for note in notes:
        say(console, f"note  {escape(note)}")


def show_push(
    console: Console,
    blessed: bool,
    pushed: pathlib.PurePath | None,
    unchanged: bool,
    kept_back: str = "",
) -> None:
    """Prints where the model was pushed, or why it was not."""
    if not blessed:
        say(
            console,
            "[bold red]Not blessed[/], so not pushed: the deployed model stays.",
        )
    elif pushed is None:
        say(
            console,
            f"Blessed, but [bold red]not pushed[/]: {escape(kept_back)}; to deploy it "
            'anyway, give a reason: run --new-baseline "why"',
        )
    elif unchanged:
        say(console, f"[bold green]Blessed[/] and unchanged; deployed at {escaped(pushed)}")
    else:
        say(console, f"[bold green]Blessed[/] and pushed to {escaped(pushed)}")
