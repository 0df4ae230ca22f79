"""A run that is killed while it writes metadata: the store stays whole, the next run goes on."""

import contextlib
import pathlib
import signal
import sqlite3

import pytest

from tests.e2e.conftest import Problem, kill, states, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("node", ["StatisticsGen", "Trainer", "Evaluator"])
def test_a_run_killed_in_a_write_of_the_metadata_is_repeated(
    king_county: Problem, tmp_path: pathlib.Path, node: str
):
    """SQLite keeps a journal while it writes, so the journal shows that it does."""
    run = Problem(king_county.config, tmp_path / "workspace")
    journal = run.workspace / "metadata.sqlite-journal"
    process = run.start()
    wait_for(lambda: (run.workspace / "artifacts" / node).exists(), process)
    # The node's write at its end comes after those at its start, in a run of some seconds.
    while process.poll() is None and not journal.exists():
        continue
    kill(process)
    assert process.returncode == -signal.SIGKILL
    # Opening rolls back what was not finished.
    with contextlib.closing(sqlite3.connect(run.workspace / "metadata.sqlite")) as store:
        assert store.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert run.versions == []
    output = run.run()
    assert "Blessed and pushed to" in output
    assert states(output)["TableExampleGen"] == "cached"
    assert len(run.versions) == 1
