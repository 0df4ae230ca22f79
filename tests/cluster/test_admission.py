"""Tests that a cluster accepts what we compile, and every field of it."""

import pytest

from pipeline.kubeflow.tfjob import tfjob_manifest
from tests.cluster import manifests
from tests.cluster.api_server import Refused
from tests.cluster.conftest import create

SECURITY = "pod-security.kubernetes.io/enforce"


@pytest.fixture(params=list(manifests.CONFIGURATIONS))
def each(request, compiled):
    """Returns the compiled workflow of each configuration."""
    return compiled(request.param)


def test_a_workflow_is_admitted(api, namespace, each):
    created = api.create(each, namespace)
    assert created["spec"] == each["spec"], "no field was dropped"


def test_the_pods_of_its_steps_are_admitted(api, namespace, each):
    steps = manifests.steps(each)
    assert len(steps) >= 11
    account = each["spec"]["serviceAccountName"]
    if account != manifests.ACCOUNT:
        create(api, "ServiceAccount", account, namespace)
    for step in steps:
        api.create(manifests.pod(each, step), namespace, dry_run=True)


def test_a_recurring_run_is_admitted(api, namespace, each):
    spec = {
        "schedules": ["0 3 * * 1-5"],
        "concurrencyPolicy": "Forbid",
        "workflowSpec": each["spec"],
    }
    create(api, "CronWorkflow", "nightly", namespace, each["apiVersion"], spec=spec)


@pytest.mark.parametrize("name", [name for name in manifests.CONFIGURATIONS if "as pods" in name])
def test_the_tfjob_of_the_trainer_is_admitted(api, namespace, compiled, name):
    job = manifests.tfjob(compiled(name))
    owner = {"apiVersion": "v1", "kind": "Pod", "name": "a-pod", "uid": "a-uid"}
    filled = tfjob_manifest.filled(job, owner, "/training/0123456789abcdef", "/problem.json")
    filled["spec"]["runPolicy"]["suspend"] = False  # the default, which the server adds
    created = api.create(filled, namespace, dry_run=True)
    assert created["spec"] == filled["spec"], "no field was dropped"


def test_a_misspelled_field_is_refused(api, namespace, workflow):
    """The other tests rely on it."""
    pod, job = manifests.pod(workflow, "trainer"), manifests.tfjob(workflow)
    manifests.steps(workflow)["trainer"]["container"]["imag"] = "x"
    pod["spec"]["containers"][0]["imag"] = "x"
    job["spec"]["tfReplicaSpecs"]["Chief"]["template"]["spec"]["containers"][0]["imag"] = "x"
    for wrong in (workflow, pod, job):
        with pytest.raises(Refused, match=r'400: .*strict decoding error: unknown field ".*imag"'):
            api.create(wrong, namespace)


@pytest.mark.parametrize("level", ["baseline"])
def test_the_pods_keep_to_a_security_standard(api, namespace, workflow, level):
    api.patch(api.read("Namespace", namespace), {"metadata": {"labels": {SECURITY: level}}})
    for step in manifests.steps(workflow):
        api.create(manifests.pod(workflow, step), namespace, dry_run=True)
    for replica in manifests.tfjob(workflow)["spec"]["tfReplicaSpecs"].values():
        metadata = {**replica["template"]["metadata"], "name": "a-task"}
        task = {**replica["template"], "metadata": metadata, "apiVersion": "v1", "kind": "Pod"}
        api.create(task, namespace, dry_run=True)


def test_what_the_configuration_names_is_admitted(api, namespace):
    api.create(manifests.documented("kubeflow.md", "PersistentVolumeClaim"), namespace)
    create(api, "Secret", "db", namespace, stringData={"password": "a-password"})
    login = {".dockerconfigjson": '{"auths": {"registry.example.com": {"auth": "YTpi"}}}'}
    kind = "kubernetes.io/dockerconfigjson"
    create(api, "Secret", "registry", namespace, type=kind, stringData=login)
    address = {"METADATA_GRPC_SERVICE_HOST": "mlmd", "METADATA_GRPC_SERVICE_PORT": "8080"}
    create(api, "ConfigMap", "metadata-grpc-configmap", namespace, data=address)
