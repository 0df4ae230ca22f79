"""The tasks of a cluster as pods of a TFJob, managed by our fake of the operator."""

import dataclasses
import json
import os
import pathlib
import re
import signal

import pytest
from kubernetes_server.api import NAMESPACE, STEP_POD, Api

from tests.faults.conftest import CLUSTER, tasks, wait_until_gone
from tests.helpers import cluster_config

KING_COUNTY = pathlib.Path(__file__).parents[2] / "data" / "king_county" / "pipeline.yaml"
STEP = {
    "container": {
        "image": "registry.example.com/king-county:1.0",
        "env": [{"name": "PYTHONPATH", "value": "."}],
    }
}
LONG = {"max_steps": 2000, "evaluate_every": 200}


@pytest.fixture
def api(tmp_path):
    (tmp_path / "logs").mkdir()
    with Api(tmp_path / "logs") as found:
        yield found
    wait_until_gone(tmp_path)


@pytest.fixture
def step(api, train, tmp_path):
    """Returns a function that starts the Trainer's step."""

    def start(cluster=CLUSTER, **settings):
        restarts = cluster.max_restarts
        asked = [f"train.cluster={{workers: 1, max_restarts: {restarts}}}", "kubeflow.tfjob={}"]
        job = cluster_config.tfjob(KING_COUNTY, asked, STEP)
        (tmp_path / "tfjob.json").write_text(json.dumps(job))
        place = str(tmp_path / "tfjob.json")
        own = ["tests.faults.step_trainer", place, api.url, NAMESPACE, STEP_POD["name"]]
        return train(command=own, cluster=cluster, **settings)

    return start


def the_job(api):
    (job,) = api.jobs.values()
    return job


@pytest.mark.slow
def test_a_tfjob_trains_and_the_step_exports_one_model(step, api):
    training = step()
    assert training.end() == 0, training.errors[-3000:]
    assert (training.export / "saved_model.pb").exists()
    assert 300 <= training.record["best"]["step"] <= 302, "the last checkpoint is evaluated"
    assert training.record["restarts"] == []
    job = the_job(api)
    assert [c["type"] for c in job.shown()["status"]["conditions"]][-1] == "Succeeded"
    assert not tasks(training.folder), "the server was ended too"
    assert "chief Running" in training.errors
    assert "Succeeded: TFJob" in training.errors


@pytest.mark.slow
def test_a_killed_task_is_restarted(step, api):
    training = step(**LONG)
    training.wait_for(lambda: training.has_checkpoint(1))
    api.fail_next = 3  # the API is unavailable for a moment, which must not matter
    os.kill(training.task("worker-0"), signal.SIGKILL)
    assert training.end() == 0, training.errors[-3000:]
    assert the_job(api).restarts == ["worker-0"]
    [restart] = training.record["restarts"]
    assert restart["task"] == "worker-0"
    assert f"worker-0 {restart['reason']}, and is restarted" in training.errors
    assert 2000 <= training.record["best"]["step"] <= 2002


@pytest.mark.slow
def test_too_many_restarts_end_the_job(step, api):
    training = step(cluster=dataclasses.replace(CLUSTER, max_restarts=0), **LONG)
    training.wait_for(lambda: training.has_checkpoint(1))
    os.kill(training.task("worker-0"), signal.SIGKILL)
    assert training.end() == 1
    last = training.errors.splitlines()[-1]
    # It is restarted at once, so the step may not see how it ended.
    assert re.search("worker-0 (ended with exit code 137|lost its pod) at step ", last)
    assert "after 0 restarts" in last and "to allow more, raise train.cluster.max_restarts" in last
    assert not api.jobs, "the step has deleted the job"
    wait_until_gone(training.folder)


@pytest.mark.slow
def test_an_error_of_the_model_fails_the_job_and_is_shown(step, api):
    training = step(params={"fails_in": "worker"})
    assert training.end() == 1
    assert the_job(api).restarts == []
    last = training.errors.splitlines()[-1]
    assert "TaskError: worker-0: " in last and "lined_model.py:" in last
    assert "RuntimeError: no such layer in worker; its log: kubectl" in last
    assert "in worker-0:\nTraceback" in training.errors
    assert not tasks(training.folder)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_abort_deletes_the_job(step, api, number):
    training = step(**LONG)
    training.wait_for(lambda: training.task("worker-0"))
    training.process.send_signal(number)
    assert training.end() != 0
    assert not api.jobs
    wait_until_gone(training.folder)


@pytest.mark.slow
def test_a_retried_step_finds_its_job(step, api):
    first = step(**LONG)
    first.wait_for(lambda: first.has_checkpoint(1))
    first.process.kill()
    chief = first.task("chief")
    # Stopped, since on a busy machine it could finish before the second try sees it.
    os.kill(chief, signal.SIGSTOP)
    second = step(**LONG)
    second.wait_for(lambda: "it already exists" in second.errors)
    os.kill(chief, signal.SIGCONT)
    assert second.end() == 0, second.errors[-3000:]
    assert "it already exists and continues" in second.errors
    assert chief == the_job(api).pods["Chief", 0].process.pid
    assert sum(request.startswith("POST") for request in api.requests) == 1
