"""Tests of the TFJob of a training: earlier jobs, its creation, and what ends the wait."""

import copy
import json
import types

import pytest
from etils import epath
from kubernetes_server.api import RUN, STEP_POD

from models.distributed.supervisor import TaskError
from models.progress.training_progress import Progress
from models.settings.training_settings import Tasks
from pipeline.kubeflow.tfjob import tfjob_client as api_lib
from pipeline.kubeflow.tfjob.launcher import PROBLEM, Launcher
from pipeline.kubeflow.tfjob.tfjob_client import Jobs

NAME = "king-county-0123456789abcdef"
CLUSTER = Tasks(max_restarts=3)
PROBLEM_CONTENT = {
    "train_files": ["/train"],
    "eval_files": ["/eval"],
    "schema_path": "/schema.pbtxt",
    "transform_output": "/graph",
    "custom_config": {"problem": "{}"},
}


@pytest.fixture
def directory(tmp_path):
    return epath.Path(tmp_path / "training" / "0123456789abcdef")


@pytest.fixture
def make(compiled):
    """Returns a function that makes launchers, each like that of another attempt of the step."""
    return lambda job=compiled: Launcher(job, Jobs.of_this_pod(), every=0.01)


@pytest.fixture
def train(directory):
    def train(launcher):
        fn_args = types.SimpleNamespace(**PROBLEM_CONTENT)
        return launcher.train(CLUSTER, directory, fn_args, Progress(10))

    return train


@pytest.fixture
def earlier(make, compiled, directory):
    """Returns a function that creates the job of an earlier attempt or another configuration."""

    def create(**policy):
        job = copy.deepcopy(compiled)
        job["spec"]["runPolicy"].update(policy)
        made = make(job)._filled(directory)
        assert Jobs.of_this_pod().create(made)
        return made

    return create


def methods(api):
    return [request.split()[0] for request in api.requests]


def test_nothing_is_deleted_if_there_is_no_job(serve, make, directory):
    api = serve()
    assert make().clear(directory)
    assert methods(api) == ["GET", "GET"], "the step's own pod, and the job"


def test_an_identical_job_continues(serve, make, earlier, directory):
    api = serve()
    earlier()
    assert not make().clear(directory)
    assert "DELETE" not in methods(api)


def test_another_job_is_replaced(serve, make, earlier, directory):
    api = serve()
    earlier(ttlSecondsAfterFinished=7)
    assert make().clear(directory)
    assert not api.jobs


@pytest.mark.parametrize("verdict", ["Succeeded", "Failed"])
def test_a_job_that_has_ended_is_replaced(serve, make, earlier, directory, verdict):
    api = serve(verdict=verdict)
    earlier()
    assert make().clear(directory)
    assert not api.jobs


def test_replacing_a_job_deletes_it(serve, make, earlier, directory):
    api = serve()
    earlier(ttlSecondsAfterFinished=7)
    api.linger = 3  # its pods take some time to end
    assert make().clear(directory)
    assert not api.jobs
    assert methods(api).count("DELETE") == 1


def test_the_deletion_of_a_job_is_awaited(serve, make, earlier, directory):
    api = serve()
    earlier()
    api.linger = 3
    Jobs.of_this_pod().delete(NAME)
    assert api.jobs
    assert make().clear(directory)
    assert not api.jobs
    assert methods(api).count("DELETE") == 1, "nobody has deleted it a second time"


def test_a_job_is_created_and_followed_to_its_end(serve, make, train, directory):
    api = serve(verdict="Succeeded")
    assert train(make()) == []
    made = api.jobs[NAME].manifest
    for replica in made["spec"]["tfReplicaSpecs"].values():
        (container,) = replica["template"]["spec"]["containers"]
        assert container["args"] == [str(directory), str(directory / PROBLEM)]
    problem = json.loads((directory / PROBLEM).read_text())
    assert problem == {**PROBLEM_CONTENT, "hyperparameters": None}


def test_a_job_is_deleted_with_its_run(serve, make, train):
    api = serve(verdict="Succeeded")
    train(make())
    assert api.jobs[NAME].manifest["metadata"]["ownerReferences"] == [RUN]
    api.collect()
    assert api.jobs
    api.delete_run()
    api.collect()
    assert not api.jobs


def test_a_retried_step_joins_its_job(serve, make, train, earlier, directory, monkeypatch):
    api = serve()
    earlier()
    again = {**STEP_POD, "name": f"{STEP_POD['name']}-1", "uid": "another"}
    monkeypatch.setattr("kubernetes_server.api.STEP_POD", again)
    monkeypatch.setenv("POD_NAME", again["name"])
    api.owners = [RUN, again]
    assert not make().clear(directory)


def test_a_job_that_disappears_is_not_created_again(serve, make, train, monkeypatch):
    api = serve()
    monkeypatch.setattr(api, "_create", lambda job: job)  # it is deleted before the first check
    with pytest.raises(TaskError, match=f"TFJob {NAME}: was deleted by someone, or with its run"):
        train(make())
    assert methods(api).count("POST") == 1


def test_a_running_job_is_joined(serve, make, train, earlier, directory):
    api = serve()
    earlier()
    launcher = make()
    assert not launcher.clear(directory)
    api.jobs[NAME].conclude("Succeeded")
    assert train(launcher) == []
    assert methods(api).count("POST") == 1


def test_a_job_without_confirmed_creation_is_not_created_twice(serve, make, train):
    api = serve(verdict="Succeeded")
    api.break_next = "POST"
    assert train(make()) == []
    answers = [request.split()[2] for request in api.requests if request.startswith("POST")]
    assert answers == ["200", "409"]


@pytest.mark.parametrize("moment", ["before", "meanwhile"])
def test_a_short_outage_of_the_api_is_survived(serve, make, train, earlier, directory, moment):
    api = serve(verdict="Succeeded")
    launcher = make()
    if moment == "before":
        earlier(ttlSecondsAfterFinished=7)
        api.fail_next = 3
        assert launcher.clear(directory)
    else:
        api.fail_next = 3
    assert train(launcher) == []


def test_a_long_outage_of_the_api_fails_the_training(serve, make, directory, monkeypatch):
    api = serve()
    monkeypatch.setattr(api_lib, "_PATIENCE", -1.0)
    api.fail_next = 1
    with pytest.raises(TaskError, match="answers 503: apiserver is shutting down; waited"):
        make().clear(directory)


def test_a_job_that_cannot_be_followed_is_deleted(serve, make, train):
    api = serve(forbidden=["list pods"])
    with pytest.raises(
        TaskError, match="allow the step's service account to list pods in the names"
    ):
        train(make())
    assert not api.jobs


def test_a_failed_job_is_kept(serve, make, train):
    api = serve(verdict="Failed")
    with pytest.raises(TaskError, match=f"kubectl describe -n pricing tfjob {NAME} says more"):
        train(make())
    assert api.jobs


def test_a_cluster_without_the_training_operator_is_explained(serve, make, train, directory):
    serve(has_operator=False)
    launcher = make()
    assert launcher.clear(directory)
    with pytest.raises(TaskError, match="install Kubeflow's training operator, or remove"):
        train(launcher)
