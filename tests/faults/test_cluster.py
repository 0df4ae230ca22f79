"""A cluster of real processes: its results, its failures, and that no process is left behind."""

import collections
import dataclasses
import functools
import json
import math
import os
import pathlib
import re
import signal
import subprocess
import sys
import urllib.request

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer

from tests.faults.conftest import CLUSTER, Training, tasks, wait_until_gone


@pytest.fixture(
    scope="module",
    params=[True, pytest.param(False, marks=pytest.mark.slow)],
    ids=["evaluator", "chief evaluates"],
)
def finished(request, table, tmp_path_factory):
    """Returns a finished training by a chief and a worker, which recorded the rows they saw."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "rows").mkdir()
    params = {"rows_to": str(folder / "rows")}
    cluster = dataclasses.replace(CLUSTER, evaluator=request.param)
    training = Training(table, folder, params, cluster)
    try:
        assert training.end() == 0, training.errors[-3000:]
        assert not tasks(folder)
    finally:
        training.process.kill()
    return training


def signatures(export) -> dict[str, dict[str, str]]:
    """Returns dtype and shape of each input and output, by signature."""
    found = tf.saved_model.load(str(export)).signatures
    return {
        name: {
            tensor: f"{spec.dtype.name} {spec.shape}"
            for tensor, spec in [
                *signature.structured_input_signature[1].items(),
                *signature.structured_outputs.items(),
            ]
        }
        for name, signature in found.items()
    }


def test_a_cluster_exports_one_model_in_the_same_form_as_a_single_process(finished, train):
    alone = train(cluster=None)
    assert alone.end() == 0, alone.errors[-3000:]
    files = [
        sorted(str(path.relative_to(training.export)) for path in training.export.rglob("*"))
        for training in (finished, alone)
    ]
    assert files[0] == files[1]
    assert signatures(finished.export) == signatures(alone.export)
    assert finished.record["restarts"] == []
    assert 300 <= finished.record["best"]["step"] <= 302, "the loss falls to the end"
    assert not list(finished.directory.glob("export/*")), "the one export was moved"


def test_no_tasks_share_a_row_and_all_rows_are_seen_equally_often(finished):
    seen = {
        path.name.partition(".")[0]: collections.Counter(path.read_text().split())
        for path in (finished.folder / "rows").iterdir()
    }
    assert set(seen) == {"chief-0", "worker-0"}
    mean = sum(sum(rows.values()) for rows in seen.values()) / 320
    for rows, parity in ((seen["chief-0"], 0), (seen["worker-0"], 1)):
        # In a pass of ten batches, a task sees each of its rows once; its last pass may be partial.
        passes = sum(rows.values()) / 160
        assert mean - 1 <= passes <= mean + 1, "no task is further ahead or behind"
        assert {float(row) for row in rows} == set(range(parity, 320, 2))
        assert set(rows.values()) <= {math.floor(passes), math.ceil(passes)}


def read_by_tensorboard(training: Training) -> dict[str, set[str]]:
    """Returns the tags of scalars by run, as TensorBoard reads them."""
    runs = EventMultiplexer().AddRunsFromDirectory(str(training.folder / "training")).Reload()
    return {run: set(tags) for run, tags in runs.PluginRunToTagToContent("scalars").items()}


def shown_by_tensorboard(training: Training) -> dict[str, set[str]]:
    """Returns the tags of scalars by run, as the command `tensorboard` shows them."""
    command = ["local_runner.py", "tensorboard", "--port", "0", "-w", str(training.folder)]
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True) as board:
        assert board.stderr
        try:
            address = next(
                found[0] for line in board.stderr if (found := re.findall(r"http://\S+", line))
            )
            with urllib.request.urlopen(f"{address}data/plugin/scalars/tags") as answer:
                return {run: set(tags) for run, tags in json.load(answer).items()}
        finally:
            board.kill()


@pytest.mark.parametrize(
    "read", [read_by_tensorboard, pytest.param(shown_by_tensorboard, marks=pytest.mark.slow)]
)
def test_tensorboard_shows_all_tasks(finished, read):
    tags = {run.partition("/")[2]: found for run, found in read(finished).items()}
    assert {"loss", "examples/sec"} <= tags[""]
    assert {"loss", "examples/sec"} <= tags["tasks/worker-0"]
    assert {"loss"} <= tags["eval"]


@pytest.mark.slow
def test_early_stopping_ends_the_evaluator_too(train):
    """The evaluator would otherwise wait for a step that is never made."""
    training = train(
        model="tests.helpers.bump_model.model_fn",
        params={"best_step": 100},
        max_steps=1_000_000,
        early_stopping={"patience": 200},
    )
    assert training.end() == 0, training.errors[-3000:]
    assert not tasks(training.folder)
    assert training.record["best"]["step"] < 1_000_000
    assert (training.export / "saved_model.pb").exists()


LONG = {"max_steps": 2000, "evaluate_every": 200}


@pytest.fixture
def long(train):
    """Returns a running training that has saved a checkpoint but is far from its end."""
    training = train(**LONG)
    training.wait_for(lambda: training.has_checkpoint(1))
    return training


def ended_well(training, *restarted: str) -> list[dict]:
    """Waits for the end; checks the model and which tasks were restarted; returns the restarts."""
    assert training.end() == 0, training.errors[-3000:]
    assert not tasks(training.folder)
    assert (training.export / "saved_model.pb").exists()
    assert 2000 <= training.record["best"]["step"] <= 2002
    restarts = training.record["restarts"]
    assert [restart["task"] for restart in restarts] == list(restarted), restarts
    return restarts


@pytest.mark.slow
@pytest.mark.parametrize("name", ["worker-0", "chief", "ps-0", "evaluator"])
def test_a_killed_task_is_restarted(long, name):
    os.kill(long.task(name), signal.SIGKILL)
    [restart] = ended_well(long, name)
    assert restart["reason"] == "ended with signal 9"
    assert any(f"restarting: {name}" in line for line in long.said)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["worker-0", "ps-0"])
def test_a_hung_task_is_killed_and_restarted(train, name):
    training = train(cluster=dataclasses.replace(CLUSTER, hang_seconds=12), **LONG)
    training.wait_for(lambda: training.has_checkpoint(1))
    os.kill(training.task(name), signal.SIGSTOP)
    [restart] = ended_well(training, name)
    assert restart["reason"] == "hung (12 s without a step) and was killed"


@pytest.mark.slow
def test_a_cluster_that_exceeds_its_restarts_says_so_and_ends(train):
    training = train(cluster=dataclasses.replace(CLUSTER, max_restarts=0), **LONG)
    training.wait_for(lambda: training.has_checkpoint(1))
    os.kill(training.task("worker-0"), signal.SIGKILL)
    assert training.end() == 1
    assert not tasks(training.folder)
    last = training.errors.splitlines()[-1]
    assert "worker-0 ended with signal 9 at step" in last
    assert "to allow more, raise train.cluster.max_restarts" in last


@pytest.mark.parametrize("role", ["chief", pytest.param("worker", marks=pytest.mark.slow)])
def test_an_error_of_the_model_ends_all_tasks_and_shows_its_traceback(train, role):
    cluster = dataclasses.replace(CLUSTER, evaluator=False)
    training = train(params={"fails_in": role}, cluster=cluster)
    if role == "chief":
        # It does not need the others before it fails; stopped, they spend no time on imports.
        for name in ("ps-0", "worker-0"):
            os.kill(training.wait_for(functools.partial(training.task, name)), signal.SIGSTOP)
    assert training.end() == 1
    assert not tasks(training.folder)
    name = "chief" if role == "chief" else "worker-0"
    line = r"tests/faults/lined_model.py:\d+, in model_fn: RuntimeError: no such layer in"
    assert re.search(f"TaskError: {name}: {line} {role}\n", training.errors)
    assert f"in {name}:\nTraceback" in training.errors
    assert "lined_model.py" in training.errors
    assert not (training.folder / "run" / "training.json").exists()


def start_up(training: Training) -> bool:
    """Returns whether all tasks import TensorFlow; by then they end with their launcher."""
    for name in ("ps-0", "chief", "worker-0"):
        pid = training.task(name)
        if not pid or "tensorflow" not in pathlib.Path(f"/proc/{pid}/maps").read_text():
            return False
    return True


def train_steps(training: Training) -> bool:
    return training.has_checkpoint(0)


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGTERM, start_up),
        pytest.param(signal.SIGTERM, train_steps, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, train_steps, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, train_steps, marks=pytest.mark.slow),
    ],
)
def test_no_task_outlives_the_launcher(train, number, moment):
    """This includes a stopped task, which cannot notice that the launcher has ended."""
    cluster = dataclasses.replace(CLUSTER, evaluator=False)
    # Python handles SIGINT, and a fork might do so differently.
    training = train(cluster=cluster, fresh=number == signal.SIGINT, **LONG)
    training.wait_for(functools.partial(moment, training))
    os.kill(training.task("worker-0"), signal.SIGSTOP)
    training.process.send_signal(number)
    assert training.end() != 0
    wait_until_gone(training.folder)
