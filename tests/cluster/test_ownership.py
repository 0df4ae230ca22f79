"""Tests that Kubernetes' garbage collector deletes a TFJob with its run, and not before."""

import pytest

from pipeline.kubeflow.tfjob import tfjob_manifest
from tests.cluster import manifests
from tests.cluster.programs import until


@pytest.fixture
def create_job(jobs, workflow):
    """Returns a function that creates a TFJob with an owner; it returns the job's name."""
    numbers = iter(range(10))

    def create(owner) -> str:
        directory = f"/training/{next(numbers):016d}"
        job = tfjob_manifest.filled(
            manifests.tfjob(workflow), owner, directory, f"{directory}/problem.json"
        )
        assert jobs.create(job)
        return job["metadata"]["name"]

    return create


@pytest.fixture
def collect(jobs, create_job):
    """Returns a function that waits until the garbage collector has looked at all jobs."""

    def wait() -> None:
        # It looks at one after another, so at this one last.
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "gone", "uid": "gone"}
        name = create_job(owner)
        until(lambda: jobs.read(name) is None, "the collection of a job without an owner")

    return wait


def test_the_owner_is_the_run(jobs, run):
    assert jobs.owner() == manifests.reference_to(run)


def test_a_job_is_deleted_with_its_run_and_not_before(api, jobs, run, create_job, collect, trainer):
    name = create_job(jobs.owner())
    collect()
    assert jobs.read(name)
    api.delete(trainer)  # as Argo does with finished pods, if it is told to
    collect()
    assert jobs.read(name)
    api.delete(run)
    until(lambda: jobs.read(name) is None, "the deletion of the job with its run")


def test_a_pod_without_a_controller_owns_its_job(
    api, namespace, jobs, workflow, create_job, collect, trainer
):
    api.delete(trainer)
    alone = api.create(manifests.pod(workflow, "trainer"), namespace)
    assert jobs.owner() == manifests.reference_to(alone)
    name = create_job(jobs.owner())
    collect()
    assert jobs.read(name)
    api.delete(alone)
    until(lambda: jobs.read(name) is None, "the deletion of the job with its pod")


@pytest.mark.parametrize("whose", ["of another object", "that no object has"])
def test_a_job_whose_owner_has_another_uid_is_collected(jobs, trainer, create_job, whose):
    uid = trainer["metadata"]["uid"] if whose == "of another object" else "the id of a run"
    name = create_job({**jobs.owner(), "uid": uid})
    until(lambda: jobs.read(name) is None, "the collection of the job")
