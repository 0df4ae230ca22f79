"""Tasks of a cluster that the launcher did not start: an operator did, or an earlier run."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from models.distributed import layout
from models.settings.training_settings import Replicas
from tests.faults.conftest import wait_until_gone

CHIEF, WORKER = layout.Name("chief", 0), layout.Name("worker", 0)
SERVER, EVALUATOR = layout.Name("ps", 0), layout.Name("evaluator", 0)
NAMES = [SERVER, CHIEF, WORKER, EVALUATOR]
LONG = {"max_steps": 2000, "evaluate_every": 200}

pytestmark = pytest.mark.slow


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


def test_an_operator_may_start_the_trainer_as_each_task(train, tmp_path):
    """Vertex AI does so; the chief exports the model."""
    operate(train, tmp_path, lambda directory, problem: ["tests.faults.trainer", str(problem)])
    [record] = tmp_path.glob("run/training.json")
    assert 300 <= json.loads(record.read_text())["best"]["step"] <= 302
    assert (tmp_path / "model" / "Format-Serving" / "saved_model.pb").exists()


@pytest.mark.parametrize("cluster", [None, Replicas(2)])
def test_a_task_without_a_cluster_in_the_configuration_is_refused(train, cluster, monkeypatch):
    with layout.addresses(NAMES) as addresses:
        monkeypatch.setenv("TF_CONFIG", layout.tf_config(addresses, CHIEF))
        training = train(cluster=cluster)
        assert training.end() == 1
    last = training.errors.splitlines()[-1]
    assert "TF_CONFIG: this process is a chief of a cluster, but train.cluster" in last


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
