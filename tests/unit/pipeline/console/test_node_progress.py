"""Tests of a run's progress: as a table on a terminal and as plain lines elsewhere."""

import io
import re

import pytest
from rich.console import Console

from pipeline.console import node_progress


def console(terminal):
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=80, color_system=None, record=terminal
    )


def run_three(tracker):
    with tracker.shown():
        with tracker.running("First"):
            pass
        with tracker.running("Second") as node:
            node.state = node_progress.CACHED
        with pytest.raises(ValueError, match="no"), tracker.running("Third"):
            raise ValueError("no")


def test_nodes_change_their_states():
    tracker = node_progress.Progress(console(False), ["First", "Second", "Third", "Fourth"])
    run_three(tracker)
    assert [node.state for node in tracker.nodes.values()] == [
        "done",
        "cached",
        "failed",
        "waiting",
    ]
    assert str(tracker.nodes["Third"].error) == "no"
    assert tracker.nodes["First"].error is None


def test_plain_lines_without_a_terminal():
    target = console(False)
    run_three(node_progress.Progress(target, ["First", "Second", "Third", "Fourth"]))
    lines = target.file.getvalue().splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["First", "done"],
        ["Second", "cached"],
        ["Third", "failed"],
    ]
    assert all(re.fullmatch(r"\w+ +\w+ +\d+\.\d s", line) for line in lines)


@pytest.mark.parametrize("terminal", [False, True])
def test_a_node_shows_its_progress(terminal):
    target = console(terminal)
    tracker = node_progress.Progress(target, ["First"])
    with tracker.shown(), tracker.running("First"):
        tracker.annotate("First", "3/8 trials")
    assert re.search(r"First +done +\d+\.\d( s)? +3/8 trials", target.file.getvalue())


def test_the_table_stays_on_a_terminal():
    target = console(True)
    run_three(node_progress.Progress(target, ["First", "Second", "Third", "Fourth"]))
    rows = [line.split() for line in target.file.getvalue().splitlines()]
    shown = {row[0]: row[1:] for row in rows if row and row[0] in progress_names}
    assert {name: row[0] for name, row in shown.items()} == {
        "First": "done",
        "Second": "cached",
        "Third": "failed",
        "Fourth": "waiting",
    }
    assert len(shown["First"]) == 2  # with seconds
    assert len(shown["Fourth"]) == 1  # without


progress_names = {"First", "Second", "Third", "Fourth"}


def test_a_running_node_shows_its_time_so_far():
    target = console(True)
    tracker = node_progress.Progress(target, ["First"])
    with tracker.running("First"):
        tracker.nodes["First"].started -= 90
        target.print(tracker._table())
    assert re.search(r"First +running +9\d\.\d", target.export_text())
