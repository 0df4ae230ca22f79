"""Tests that the documented role is what the Trainer's step needs, and the errors without it."""

import re

import pytest

from models.distributed.supervisor import TaskError
from pipeline.kubeflow.tfjob import tfjob_manifest
from pipeline.kubeflow.tfjob.tfjob_client import Away
from tests.cluster import manifests
from tests.cluster.programs import until

ASKED = {
    "get pods": lambda jobs, job: jobs.owner(),
    "create tfjobs": lambda jobs, job: jobs.create(job),
    "get tfjobs": lambda jobs, job: jobs.read(job["metadata"]["name"]),
    "list pods": lambda jobs, job: jobs.pods(job["metadata"]["name"]),
    "get pods/log": lambda jobs, job: jobs.log("gone", 10),
    "delete tfjobs": lambda jobs, job: jobs.delete(job["metadata"]["name"]),
}


@pytest.fixture
def job(jobs, workflow):
    compiled = manifests.tfjob(workflow)
    return tfjob_manifest.filled(
        compiled, jobs.owner(), "/training/0123456789abcdef", "/problem.json"
    )


def test_the_documented_role_is_sufficient(jobs, job):
    for ask in ASKED.values():
        ask(jobs, job)


@pytest.mark.parametrize("what", list(ASKED))
def test_a_missing_permission_is_explained(api, namespace, jobs, job, what):
    verb, resource = what.split()
    name = manifests.documented("distributed.md", "Role")["metadata"]["name"]
    role = api.read("Role", name, namespace, "rbac.authorization.k8s.io/v1")
    for rule in role["rules"]:
        if resource in rule["resources"]:
            rule["verbs"].remove(verb)
    api.patch(role, {"rules": [rule for rule in role["rules"] if rule["verbs"]]})

    def refusal() -> TaskError | None:
        try:
            ASKED[what](jobs, job)
        except TaskError as error:
            return error
        return None

    error = until(refusal, "the server to notice the role's change")
    assert not isinstance(error, Away), "waiting does not help"
    asked = what.replace("tfjobs", "tfjobs.kubeflow.org")
    account = f"system:serviceaccount:{namespace}:{manifests.ACCOUNT}"
    assert re.fullmatch(
        rf'kubeflow.tfjob: {asked}: .* is forbidden: User "{account}" cannot {verb} resource .*; '
        rf"allow the step's service account to {asked} in the namespace {namespace} \(.*\)",
        str(error),
    )


def test_an_unknown_token_is_refused(api, jobs, tmp_path):
    (tmp_path / "account" / "token").write_text("another")
    with pytest.raises(TaskError, match="get tfjobs.kubeflow.org: Unauthorized; allow the step's"):
        type(jobs).of_this_pod().read("a-job")
