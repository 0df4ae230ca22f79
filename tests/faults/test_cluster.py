"""A cluster of real processes: what it makes, and that nothing is left of it."""

import collections
import math
import os
import signal

import pytest
import tensorflow as tf

from tests.faults.conftest import tasks, wait_until_gone


@pytest.mark.parametrize("evaluator", [True, False], ids=["evaluator", "chief evaluates"])
def test_a_cluster_makes_what_a_single_process_makes(train, tmp_path, evaluator):
    """The rows of one file are shared out, each checkpoint is evaluated, one model is exported."""
    (tmp_path / "rows").mkdir()
    training = train({"rows_to": str(tmp_path / "rows")}, {"evaluator": evaluator})
    assert training.end() == 0, training.errors[-3000:]
    assert not tasks(tmp_path)
    signatures = tf.saved_model.load(str(training.export)).signatures
    assert {"predict", "serving_default"} <= set(signatures)
    assert training.record["restarts"] == []
    best = training.record["best"]
    assert 300 <= best["step"] <= 301, "the loss falls to the end"

    seen = {
        path.name.partition(".")[0]: collections.Counter(path.read_text().split())
        for path in (tmp_path / "rows").iterdir()
    }
    assert set(seen) == {"chief-0", "worker-0"}
    mean = sum(sum(rows.values()) for rows in seen.values()) / 320
    for rows, parity in ((seen["chief-0"], 0), (seen["worker-0"], 1)):
        # Each pass of a task, of ten batches, sees each of its rows once; it ends in one of them.
        passes = sum(rows.values()) / 160
        assert mean - 1 <= passes <= mean + 1, "no task is further ahead or behind"
        assert {float(row) for row in rows} == set(range(parity, 320, 2))
        assert set(rows.values()) <= {math.floor(passes), math.ceil(passes)}


LONG = {"max_steps": 2000, "evaluate_every": 200}


@pytest.fixture
def long(train):
    """A training that has saved a checkpoint, and still has most of the way to go."""
    training = train(**LONG)
    training.wait_for(lambda: training.has_checkpoint(1))
    return training


def ended_well(training, *restarted: str) -> list[dict]:
    """Waits for the end; checks that it made a model, and that these tasks were started again."""
    assert training.end() == 0, training.errors[-3000:]
    assert not tasks(training.folder)
    assert (training.export / "saved_model.pb").exists()
    assert 2000 <= training.record["best"]["step"] <= 2001
    restarts = training.record["restarts"]
    assert [restart["task"] for restart in restarts] == list(restarted)
    return restarts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["worker-0", "chief", "ps-0", "evaluator"])
def test_a_task_that_is_killed_is_started_again(long, name):
    os.kill(long.task(name), signal.SIGKILL)
    [restart] = ended_well(long, name)
    assert restart["reason"] == "ended with signal 9"
    assert any(f"again: {name}" in line for line in long.said)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["worker-0", "ps-0"])
def test_a_task_that_hangs_is_ended_and_started_again(train, name):
    training = train(cluster={"hang_seconds": 12}, **LONG)
    training.wait_for(lambda: training.has_checkpoint(1))
    os.kill(training.task(name), signal.SIGSTOP)
    [restart] = ended_well(training, name)
    assert restart["reason"] == "hung, 12 s without a step, and was ended"


@pytest.mark.slow
def test_a_cluster_that_dies_too_often_says_so_and_ends(train):
    training = train(cluster={"max_restarts": 0}, **LONG)
    training.wait_for(lambda: training.has_checkpoint(1))
    os.kill(training.task("worker-0"), signal.SIGKILL)
    assert training.end() == 1
    assert not tasks(training.folder)
    last = training.errors.splitlines()[-1]
    assert "worker-0 ended with signal 9 at step" in last
    assert "to allow more raise train.cluster.max_restarts" in last


@pytest.mark.parametrize("role", ["chief", "worker"])
def test_an_error_of_the_model_ends_all_with_its_traceback(train, role):
    training = train({"fails_in": role})
    assert training.end() == 1
    assert not tasks(training.folder)
    name = "chief" if role == "chief" else "worker-0"
    assert f"TaskError: {name}: RuntimeError: no such layer in {role}\n" in training.errors
    assert f"in {name}:\nTraceback" in training.errors
    assert "lined_model.py" in training.errors
    assert not (training.folder / "run" / "training.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_when_the_launcher_ends(train, number):
    """Nor of a task that is stopped, and so cannot see it."""
    training = train(**LONG)
    worker = training.wait_for(lambda: training.task("worker-0"))
    os.kill(worker, signal.SIGSTOP)
    training.wait_for(lambda: training.task("evaluator"))
    training.process.send_signal(number)
    assert training.end() != 0
    wait_until_gone(training.folder)
