"""A cluster without nodes for all tests, and for each test a namespace with a run of a pipeline."""

import contextlib
import copy
import functools
import itertools
import pathlib
from collections.abc import Callable, Iterator

import pytest
import yaml

from models.distributed.supervisor import TaskError
from pipeline.kubeflow.tfjob import tfjob_client
from pipeline.kubeflow.tfjob.tfjob_client import Jobs
from tests.cluster import control_plane, manifests
from tests.cluster.api_server import ApiServer, Object
from tests.cluster.programs import until

_NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def engines() -> pathlib.Path:
    """Returns the folder of the programs that `make test-cluster` has built."""
    folder = manifests.ROOT / ".engines"
    if not (folder / "argo" / "source").exists():
        pytest.fail(f"{folder}: not complete, expected Kubernetes' programs; run make test-cluster")
    return folder


@pytest.fixture(scope="session")
def api(engines, tmp_path_factory) -> Iterator[ApiServer]:
    """Runs a control plane with the resources of Argo and of the training operator."""
    crds = "source/manifests/base/crds"
    files = [
        *sorted((engines / "argo" / crds / "full").glob("argoproj.io_*.yaml")),
        engines / "training_operator" / crds / "kubeflow.org_tfjobs.yaml",
    ]
    definitions = [yaml.load(path.read_text(), yaml.CSafeLoader) for path in files]
    folder = tmp_path_factory.mktemp("cluster")
    with control_plane.serving(engines, folder, definitions) as api:
        yield api


@pytest.fixture(scope="session")
def compiled(tmp_path_factory) -> Callable[[str], Object]:
    """Returns a function that returns the compiled workflow of a configuration."""

    @functools.cache
    def compiled(name: str) -> Object:
        settings = manifests.CONFIGURATIONS[name]
        return manifests.compiled(tmp_path_factory.mktemp("compiled"), *settings)

    return lambda name: copy.deepcopy(compiled(name))


@pytest.fixture
def namespace(api) -> str:
    """Creates a namespace in which the steps' account has the documented role."""
    name = f"pricing-{next(_NUMBERS)}"
    create(api, "Namespace", name)
    create(api, "ServiceAccount", manifests.ACCOUNT, name)
    role = manifests.documented("distributed.md", "Role")
    role["metadata"].pop("namespace")
    api.create(role, name)
    subject = {"kind": "ServiceAccount", "name": manifests.ACCOUNT, "namespace": name}
    reference = {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": role["metadata"]["name"],
    }
    binding = {"subjects": [subject], "roleRef": reference}
    create(api, "RoleBinding", "steps", name, role["apiVersion"], **binding)
    account = lambda: api.read("ServiceAccount", "default", name)  # noqa: E731
    until(account, "the namespace's own service account, without which it accepts no pods")
    return name


def create(
    api: ApiServer, kind: str, name: str, namespace: str = "", version: str = "v1", **content
) -> Object:
    """Creates an object; returns it."""
    manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **content}
    return api.create(manifest, namespace)


@pytest.fixture
def workflow(compiled) -> Object:
    """Returns the compiled workflow with a TFJob and every setting."""
    return compiled("tasks as pods, every setting")


@pytest.fixture
def run(api, namespace, workflow) -> Object:
    """Creates the workflow, as Kubeflow Pipelines does for a run."""
    return api.create(workflow, namespace)


@pytest.fixture
def trainer(api, namespace, workflow, run) -> Object:
    """Creates the pod of the Trainer's step, as Argo does."""
    return api.create(manifests.pod(workflow, "trainer", run), namespace)


@pytest.fixture
def jobs(api, namespace, trainer, tmp_path, monkeypatch) -> Jobs:
    """Returns the TFJobs as the Trainer's step sees them: with its account, from its pod."""
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "token").write_text(api.token_of(manifests.ACCOUNT, namespace))
    (folder / "namespace").write_text(namespace)
    (folder / "ca.crt").write_text(pathlib.Path(api.authority).read_text())
    monkeypatch.setattr(tfjob_client, "SERVICE_ACCOUNT", folder)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", api.url.rpartition(":")[2])
    monkeypatch.setenv("POD_NAME", trainer["metadata"]["name"])
    jobs = Jobs.of_this_pod()

    def is_permitted() -> bool:
        with contextlib.suppress(TaskError):
            return bool(jobs.owner())
        return False

    until(is_permitted, "the server to notice the account's role")
    return jobs
