"""Tests of a step's requests to the cluster: signing in as its pod, and one-line errors."""

import pathlib
import re
import socket

import certificates
import pytest
import yaml
from cryptography import x509
from kubernetes_server.api import RUN, STEP_POD
from kubernetes_server.service_account import NAMESPACE

from models.distributed.supervisor import TaskError
from pipeline.kubeflow.tfjob.tfjob_client import Away, Jobs

NAME = "king-county-0123456789abcdef"
ASKED = {
    "get pods": lambda jobs, job: jobs.owner(),
    "create tfjobs": lambda jobs, job: jobs.create(job),
    "get tfjobs": lambda jobs, job: jobs.read(NAME),
    "list pods": lambda jobs, job: jobs.pods(NAME),
    "get pods/log": lambda jobs, job: jobs.log(f"{NAME}-chief-0", 10),
    "delete tfjobs": lambda jobs, job: jobs.delete(NAME),
}


def test_a_job_is_created_read_and_deleted(serve, job):
    api = serve()
    jobs = Jobs.of_this_pod()
    assert jobs.namespace == NAMESPACE
    assert jobs.read(NAME) is None
    assert jobs.create(job)
    job = jobs.read(NAME)
    assert job and job["spec"] == job["spec"] and job["metadata"]["uid"]
    jobs.delete(NAME)
    assert jobs.read(NAME) is None and not api.jobs
    jobs.delete(NAME)  # no error, although it no longer exists


def test_an_existing_job_is_not_changed(serve, job):
    serve()
    jobs = Jobs.of_this_pod()
    assert jobs.create(job)
    first = jobs.read(NAME)
    assert not jobs.create(job)
    assert jobs.read(NAME) == first


def test_the_owner_of_a_job_is_the_run_of_the_step(serve):
    serve()
    assert Jobs.of_this_pod().owner() == RUN


def test_a_job_is_collected_with_its_run_and_not_before(serve, job):
    api = serve()
    assert Jobs.of_this_pod().create(job)
    api.owners.remove(STEP_POD)  # as if finished pods were deleted at once
    api.collect()
    assert api.jobs
    api.delete_run()
    api.collect()
    assert not api.jobs


@pytest.mark.parametrize("uid", ["the id that Kubeflow Pipelines gave the run", STEP_POD["uid"]])
def test_a_job_whose_owner_has_another_uid_is_collected(serve, job, uid):
    api = serve()
    job["metadata"]["ownerReferences"][0]["uid"] = uid
    assert Jobs.of_this_pod().create(job)
    api.collect()
    assert not api.jobs


def test_a_pod_without_its_name_is_refused(serve, monkeypatch):
    serve()
    monkeypatch.delenv("POD_NAME")
    with pytest.raises(TaskError, match="^kubeflow.tfjob: the variable POD_NAME is not set in the"):
        Jobs.of_this_pod()
    monkeypatch.setenv("POD_NAME", "another")
    with pytest.raises(TaskError, match="^kubeflow.tfjob: there is no pod another in pricing, alt"):
        Jobs.of_this_pod().owner()


def test_a_deleted_pod_has_no_log(serve):
    serve()
    assert Jobs.of_this_pod().log("gone", 10) == []


@pytest.mark.parametrize("file", ["token", "ca.crt", "namespace"])
def test_a_pod_without_its_service_account_is_refused(account, serve, file):
    serve()
    (account.pod / file).unlink()
    with pytest.raises(TaskError) as error:
        Jobs.of_this_pod()
    said = str(error.value)
    assert said.startswith(f"kubeflow.tfjob: no service account at {account.pod} (")
    assert "(automountServiceAccountToken), or remove kubeflow.tfjob" in said
    assert "\n" not in said


def test_an_unknown_token_is_refused(account, serve):
    api = serve()
    (account.pod / "token").write_text("another")
    with pytest.raises(TaskError) as error:
        Jobs.of_this_pod().read(NAME)
    assert not isinstance(error.value, Away), "waiting does not help"
    assert str(error.value) == (
        "kubeflow.tfjob: get tfjobs.kubeflow.org: Unauthorized; allow the step's service account "
        'to get tfjobs.kubeflow.org in the namespace pricing (docs/distributed.md, "On Kubeflow")'
    )
    assert api.requests[-1].endswith(" 401")


def test_the_token_is_sent_only_to_a_trusted_server(account, serve, tmp_path):
    api = serve()
    other = tmp_path / "other"
    other.mkdir()
    certificates.write(other, x509.DNSName("localhost"))
    (account.pod / "ca.crt").write_bytes((other / certificates.AUTHORITY).read_bytes())
    with pytest.raises(Away, match="certificate verify failed"):
        Jobs.of_this_pod().read(NAME)
    assert api.requests == []


@pytest.mark.parametrize("what", list(ASKED))
def test_a_missing_permission_is_explained(serve, job, what):
    serve(forbidden=[what])
    with pytest.raises(TaskError) as error:
        ASKED[what](Jobs.of_this_pod(), job)
    assert not isinstance(error.value, Away), "waiting does not help"
    verb = what.replace("tfjobs", "tfjobs.kubeflow.org")
    said = str(error.value)
    assert said.startswith(f"kubeflow.tfjob: {verb}: ")
    assert said.endswith(
        f"; allow the step's service account to {verb} in the namespace pricing "
        '(docs/distributed.md, "On Kubeflow")'
    )
    assert "\n" not in said


def test_the_documented_role_is_sufficient(serve, job):
    text = pathlib.Path("docs/distributed.md").read_text()
    (role,) = re.findall(r"```yaml\n(apiVersion: rbac.*?)```", text, re.DOTALL)
    granted = {
        f"{verb} {resource}"
        for rule in yaml.safe_load(role)["rules"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    serve(forbidden=set(ASKED) - granted)
    jobs = Jobs.of_this_pod()
    for ask in ASKED.values():
        ask(jobs, job)
    assert granted == set(ASKED), "and no more than that"


def test_a_cluster_without_the_training_operator_is_explained(serve, job):
    serve(has_operator=False)
    jobs = Jobs.of_this_pod()
    assert jobs.read(NAME) is None
    with pytest.raises(TaskError) as error:
        jobs.create(job)
    assert str(error.value) == (
        "kubeflow.tfjob: this cluster has no tfjobs.kubeflow.org (v1); install Kubeflow's training "
        "operator, or remove kubeflow.tfjob"
    )


def test_a_refused_job_is_one_line(serve, job):
    serve()
    job["spec"]["runPolicies"] = job["spec"].pop("runPolicy")
    with pytest.raises(TaskError) as error:
        Jobs.of_this_pod().create(job)
    assert str(error.value) == (
        "kubeflow.tfjob: create tfjobs.kubeflow.org: TFJob.spec: unknown field 'runPolicies'"
    )


@pytest.mark.parametrize("what", list(ASKED))
def test_an_api_that_shuts_down_is_unavailable(serve, job, what):
    api = serve()
    jobs = Jobs.of_this_pod()
    api.fail_next = 1
    with pytest.raises(Away, match="the Kubernetes API answers 503: apiserver is shutting down"):
        ASKED[what](jobs, job)
    ASKED[what](jobs, job)


@pytest.mark.parametrize("what", list(ASKED))
def test_an_api_that_breaks_off_its_answer_is_unavailable(serve, job, what):
    api = serve()
    jobs = Jobs.of_this_pod()
    jobs.create(job)
    api.break_next = {"create": "POST", "delete": "DELETE"}.get(what.split()[0], "GET")
    with pytest.raises(Away, match="the Kubernetes API does not answer: "):
        ASKED[what](jobs, job)
    ASKED[what](jobs, job)


def test_an_unreachable_api_is_unavailable(serve, monkeypatch):
    serve()
    with socket.socket() as unused:  # bound, but not listening
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(unused.getsockname()[1]))
        with pytest.raises(Away, match="the Kubernetes API does not answer: .*refused"):
            Jobs.of_this_pod().read(NAME)
