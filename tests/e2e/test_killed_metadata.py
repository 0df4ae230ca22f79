"""A run that is killed while writing metadata: the store stays intact and the next run resumes."""

import contextlib
import pathlib
import signal
import sqlite3

import pytest

from tests.e2e.conftest import Problem, kill, states, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("node", ["StatisticsGen", "Trainer", "Evaluator"])
def test_a_run_killed_while_writing_metadata_can_be_repeated(
    king_county: Problem, tmp_path: pathlib.Path, node: str
):
    """SQLite's journal exists only while it writes, so the run is killed when it appears."""
    run = Problem(king_county.config, tmp_path / "workspace")
    journal = run.workspace / "metadata.sqlite-journal"
    process = run.start()
    wait_for(lambda: (run.workspace / "artifacts" / node).exists(), process)
    # Poll for a write of metadata after the node's artifacts have appeared.
    while process.poll() is None and not journal.exists():
        continue
    kill(process)
    assert process.returncode == -signal.SIGKILL
    # Opening the database rolls back an unfinished write.
    with contextlib.closing(sqlite3.connect(run.workspace / "metadata.sqlite")) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert run.versions == []
    output = run.run()
    assert "Blessed and pushed to" in output
    assert states(output)["TableExampleGen"] == "cached"
    assert len(run.versions) == 1
