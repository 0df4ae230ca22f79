"""Tests that the fake of the training operator does what `make test-cluster` has seen of it."""

import pytest
from kubernetes_server.training_operator import Job

from models.distributed import layout

KINDS = ("Chief", "Evaluator", "PS", "Worker")
FOREVER = "import signal; signal.pause()"


@pytest.fixture
def start(tmp_path):
    """Returns a function that starts a job; each of its tasks does what its Python code says."""
    jobs = []

    def start(**programs) -> Job:
        replicas = {
            kind: {
                "replicas": 1,
                "restartPolicy": "ExitCode",
                "template": {
                    "metadata": {},
                    "spec": {
                        "containers": [
                            {
                                "command": ["python", "-c", programs.get(kind, FOREVER)],
                                "args": [],
                            }
                        ]
                    },
                },
            }
            for kind in KINDS
        }
        spec = {"runPolicy": {"cleanPodPolicy": "Running"}, "tfReplicaSpecs": replicas}
        metadata = {"name": "houses", "namespace": "pricing"}
        jobs.append(Job({"metadata": metadata, "spec": spec}, tmp_path))
        jobs[-1].reconcile()
        return jobs[-1]

    yield start
    for job in jobs:
        job.end()


def conditions(job) -> list[str]:
    return [c["type"] for c in job.shown()["status"]["conditions"] if c["status"] == "True"]


def reconcile_after(job, kind):
    """Reconciles the job when a task has ended."""
    job.pods[kind, 0].process.wait(30)
    job.reconcile()


def test_the_evaluator_has_an_address_too(start, tmp_path):
    write = "import os; open({!r}, 'w').write(os.environ['TF_CONFIG'])"
    job = start(**{kind: write.format(str(tmp_path / kind)) for kind in KINDS})
    for (kind, _), pod in job.pods.items():
        assert pod.process.wait(30) == 0
        cluster = layout.in_environment({"TF_CONFIG": (tmp_path / kind).read_text()})
        assert cluster and cluster.task.role == kind.lower()
        assert sorted(cluster.addresses) == ["chief", "evaluator", "ps", "worker"]


def test_a_killed_task_is_replaced_and_the_job_runs_on(start):
    job = start(Worker="import sys; sys.exit(137)")
    before = job.pods["Worker", 0]
    reconcile_after(job, "Worker")
    assert job.pods["Worker", 0] is not before
    assert conditions(job) == ["Created", "Restarting"]


def test_a_job_succeeds_with_its_chief_and_ends_the_others(start):
    job = start(Chief="")
    reconcile_after(job, "Chief")
    assert conditions(job) == ["Created", "Succeeded"]
    assert list(job.pods) == [("Chief", 0)]


def test_an_error_fails_the_job_and_keeps_the_pod(start):
    job = start(Worker="import sys; sys.exit(1)")
    reconcile_after(job, "Worker")
    assert conditions(job) == ["Created", "Failed"]
    assert list(job.pods) == [("Worker", 0)]
