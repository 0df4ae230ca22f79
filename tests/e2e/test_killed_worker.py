"""The whole pipeline with worker processes, one of which is killed."""

import json

import psutil
import pytest

from tests.e2e.conftest import Problem, states, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

QUICK = ["train.max_steps=200", "train.evaluate_every=100"]
TWO = "beam.workers=2"


def metrics(found: Problem) -> dict:
    folder = found.workspace / "artifacts" / "Evaluator" / "evaluation"
    latest = max(folder.glob("*/verdict.json"), key=lambda file: int(file.parent.name))
    return json.loads(latest.read_text())["metrics"]["overall"]


@pytest.fixture(scope="module")
def alone(king_county, tmp_path_factory) -> dict:
    """Returns the metrics of a run without worker processes."""
    found = Problem(king_county.config, tmp_path_factory.mktemp("alone"))
    found.run(*QUICK)
    return metrics(found)


def test_a_killed_worker_fails_its_step_and_the_next_run_continues(king_county, alone, tmp_path):
    found = Problem(king_county.config, tmp_path)
    process = found.start(*QUICK, TWO)
    statistics = tmp_path / "artifacts" / "StatisticsGen"
    wait_for(statistics.exists, process)
    (server,) = psutil.Process(process.pid).children()
    (worker, *_) = wait_for(server.children, process)
    worker.kill()
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1, output
    assert states(output)["TableExampleGen"] == "done"
    assert states(output)["StatisticsGen"] == "failed"
    assert "StatisticsGen failed: RuntimeError: a worker process ended (SIGKILL)" in output
    assert not psutil.pid_exists(server.pid)

    again = found.run(*QUICK, TWO)
    assert states(again)["TableExampleGen"] == "cached"
    assert "Blessed and pushed to" in again
    assert metrics(found) == pytest.approx(alone, rel=1e-6)
