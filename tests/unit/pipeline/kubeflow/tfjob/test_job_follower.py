"""Tests of a job's follower: what it reads from the API's objects, and its errors."""

import types

import pytest
from etils import epath

from models.distributed.supervisor import TaskError
from models.progress.training_progress import Progress
from pipeline.kubeflow.tfjob.job_follower import Follower, JobEnded

LABELS = {
    "training.kubeflow.org/replica-type": "worker",
    "training.kubeflow.org/replica-index": "0",
}
NAME = "king-county-0123456789abcdef"


def pod(phase: str, uid: str = "1", **status):
    metadata = {"name": f"{NAME}-worker-0", "uid": uid, "labels": LABELS}
    return {"metadata": metadata, "status": {"phase": phase, **status}}


@pytest.fixture
def job():
    """Returns a job as the API shows it."""
    return {
        "metadata": {"name": NAME, "uid": "job"},
        "spec": {"tfReplicaSpecs": {"Worker": {"replicas": 1}}},
        "status": {"conditions": [{"type": "Running", "status": "True"}]},
    }


@pytest.fixture
def jobs(job):
    """Returns an API that shows `job` and `pods`."""

    def refuse(*_):
        # kube-apiserver v1.34, of a pod that no node has accepted.
        raise TaskError(f"kubeflow.tfjob: get pods/log: pod {NAME}-worker-0 does not have a host")

    jobs = types.SimpleNamespace(namespace="pricing", shown=[], log=refuse)
    jobs.read, jobs.pods = lambda name: job, lambda name: jobs.shown
    return jobs


@pytest.fixture
def follower(jobs, job, tmp_path):
    return Follower(
        jobs, lambda method, *args: method(*args), job, "job", epath.Path(tmp_path), Progress(10)
    )


def test_a_pod_that_never_started_is_named_although_it_has_no_log(follower, jobs, job):
    jobs.shown = [pod("Failed", reason="UnexpectedAdmissionError", message="no GPU is left")]
    job["status"]["conditions"] = [{"type": "Failed", "status": "True", "message": "it failed"}]
    with pytest.raises(JobEnded) as end:
        follower.has_succeeded(0)
    assert str(end.value.error) == (
        "worker-0: ended with UnexpectedAdmissionError, no GPU is left; its log: kubectl logs -n "
        f"pricing {NAME}-worker-0"
    )


@pytest.mark.parametrize("max_restarts", [0, 1])
def test_replaced_pods_are_restarts(follower, jobs, max_restarts):
    for uid in range(max_restarts + 1):
        jobs.shown = [pod("Running", uid=str(uid))]
        assert not follower.has_succeeded(max_restarts)
    jobs.shown = [pod("Pending", uid="last")]
    with pytest.raises(TaskError) as error:
        follower.has_succeeded(max_restarts)
    assert str(error.value) == (
        f"worker-0 lost its pod at step 0, after {max_restarts} restarts of the cluster's tasks; "
        "to allow more, raise train.cluster.max_restarts"
    )
