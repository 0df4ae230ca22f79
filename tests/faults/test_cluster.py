"""A cluster of real processes: its results, its failures, and that no process is left behind."""

import collections
import dataclasses
import json
import math
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import urllib.request

import pytest
import tensorflow as tf

from models.distributed import layout
from models.settings.training_settings import Replicas
from tests.faults.conftest import CLUSTER, Training, tasks, wait_until_gone

CHIEF, WORKER = layout.Name("chief", 0), layout.Name("worker", 0)
SERVER, EVALUATOR = layout.Name("ps", 0), layout.Name("evaluator", 0)
NAMES = [SERVER, CHIEF, WORKER, EVALUATOR]


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


def test_tensorboard_shows_all_tasks(finished):
    command = ["local_runner.py", "tensorboard", "--port", "0", "-w", str(finished.folder)]
    with subprocess.Popen([sys.executable, *command], stderr=subprocess.PIPE, text=True) as board:
        assert board.stderr
        try:
            address = next(
                found[0] for line in board.stderr if (found := re.findall(r"http://\S+", line))
            )
            tags: dict[str, set[str]] = {}
            with urllib.request.urlopen(f"{address}data/plugin/scalars/tags") as answer:
                for run, found in json.load(answer).items():
                    tags[run.partition("/")[2]] = set(found)
        finally:
            board.kill()
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
    assert training.end() == 1
    assert not tasks(training.folder)
    name = "chief" if role == "chief" else "worker-0"
    line = r"tests/faults/lined_model.py:\d+, in model_fn: RuntimeError: no such layer in"
    assert re.search(f"TaskError: {name}: {line} {role}\n", training.errors)
    assert f"in {name}:\nTraceback" in training.errors
    assert "lined_model.py" in training.errors
    assert not (training.folder / "run" / "training.json").exists()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGTERM,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_no_task_outlives_the_launcher(train, number):
    """This includes a stopped task, which cannot notice that the launcher has ended."""
    cluster = dataclasses.replace(CLUSTER, evaluator=False)
    training = train(cluster=cluster, fresh=True, **LONG)
    training.wait_for(lambda: training.has_checkpoint(0))
    os.kill(training.task("worker-0"), signal.SIGSTOP)
    training.process.send_signal(number)
    assert training.end() != 0
    wait_until_gone(training.folder)


def operate(train, tmp_path, command) -> pathlib.Path:
    """Starts the tasks as an operator does; returns the training's directory at their end."""
    waiting = train(max_steps=300)
    directory = waiting.wait_for(lambda: list(tmp_path.glob("training/*")))[0]
    waiting.process.kill()
    wait_until_gone(tmp_path)
    shutil.rmtree(directory)
    with layout.addresses(NAMES) as addresses:
        running = {
            name: subprocess.Popen(
                [sys.executable, "-m", *command(directory, tmp_path / "arguments.json")],
                env={
                    **os.environ,
                    "TF_CONFIG": layout.tf_config(addresses, name),
                    "TF_GRPC_REUSE_PORT": "true",
                },
            )
            for name in NAMES
        }
        try:
            for name in (CHIEF, WORKER, EVALUATOR):
                assert running[name].wait(timeout=240) == 0, name
            assert running[SERVER].poll() is None, "it waits for an operator to end it"
        finally:
            for process in running.values():
                process.kill()
                process.wait()
    return directory


@pytest.mark.slow
def test_an_operator_may_start_the_trainer_as_each_task(train, tmp_path):
    """Vertex AI does so; the chief exports the model."""
    operate(train, tmp_path, lambda directory, problem: ["tests.faults.trainer", str(problem)])
    [record] = tmp_path.glob("run/training.json")
    assert 300 <= json.loads(record.read_text())["best"]["step"] <= 302
    assert (tmp_path / "model" / "Format-Serving" / "saved_model.pb").exists()


@pytest.mark.slow
@pytest.mark.parametrize("cluster", [None, Replicas(2)])
def test_a_task_without_a_cluster_in_the_configuration_is_refused(train, cluster, monkeypatch):
    with layout.addresses(NAMES) as addresses:
        monkeypatch.setenv("TF_CONFIG", layout.tf_config(addresses, CHIEF))
        training = train(cluster=cluster)
        assert training.end() == 1
    last = training.errors.splitlines()[-1]
    assert "TF_CONFIG: this process is a chief of a cluster, but train.cluster" in last


@pytest.mark.slow
def test_an_operator_may_start_the_tasks(train, tmp_path):
    """Kubeflow's TFJob does so; the Trainer then exports what the tasks have trained."""
    directory = operate(
        train,
        tmp_path,
        lambda directory, problem: ["models.programs.cluster_task", str(directory), str(problem)],
    )
    trainer = train(max_steps=300)
    assert trainer.end() == 0, trainer.errors[-3000:]
    assert not (directory / "logs").exists(), "there was nothing left to train"
    assert 300 <= trainer.record["best"]["step"] <= 302
    assert (trainer.export / "saved_model.pb").exists()


@pytest.mark.slow
def test_orphans_of_an_earlier_run_are_killed(train, tmp_path):
    """A new run ends them, however they came to outlive the earlier run."""
    training = train(**LONG)
    directory = training.wait_for(lambda: list(tmp_path.glob("training/*")))[0]
    training.process.kill()
    wait_until_gone(tmp_path)
    with layout.addresses(NAMES) as addresses:
        orphan = subprocess.Popen(
            [
                sys.executable, "-m", "models.programs.cluster_task", str(directory),
                str(tmp_path / "arguments.json"),
            ],
            env={**os.environ, "TF_CONFIG": layout.tf_config(addresses, SERVER)},
        )  # fmt: skip
        training = train(**LONG)
        training.wait_for(lambda: training.task("chief"))
        assert orphan.wait(timeout=10) == -signal.SIGKILL
