"""What is created in the cluster: compiled workflows, the pods of their steps, documented objects.

A test's namespace gets a run of King County's pipeline, as Kubeflow Pipelines and Argo create it.
"""

import copy
import json
import pathlib
import re

import yaml

from pipeline.kubeflow.compile import compiler as compile_lib
from pipeline.kubeflow.step_container import TFJOB_FLAG
from tests.cluster.api_server import Object
from tests.helpers import cluster_config

ROOT = pathlib.Path(__file__).parents[2]
KING_COUNTY = ROOT / "data" / "king_county" / "pipeline.yaml"
ACCOUNT = "runner"
"""The service account of the steps."""
EVERY_SETTING = (
    f"kubeflow.service_account={ACCOUNT}",
    "kubeflow.environment={STAGE: test}",
    "kubeflow.secrets={DB_PASSWORD: db/password}",
    "kubeflow.labels={team: pricing}",
    "kubeflow.node_selector={pool: ml}",
    "kubeflow.image_pull_secrets=[registry]",
    "kubeflow.resources={default: {cpu: 500m, memory: 2Gi}, Trainer: {memory: 8Gi, gpu: 1}}",
    "kubeflow.retries={limit: 4, backoff: 10, factor: 3, policy: OnFailure}",
)
TASKS = "train.cluster={workers: 2, max_restarts: 4}"
CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "as it is": (),
    "every setting": EVERY_SETTING,
    "two volumes": ("kubeflow.volumes={pipelines: /mnt/pipelines, tables: /mnt/tables/}",),
    "a bucket": ("kubeflow.workspace=gs://bucket/houses", "kubeflow.volumes={}"),
    "tasks as processes": (TASKS,),
    "tasks as pods": (TASKS, "kubeflow.tfjob={}"),
    "tasks as pods, every setting": (
        TASKS,
        "kubeflow.tfjob={worker: {cpu: 4, memory: 16Gi, gpu: 1}, ps: {cpu_limit: 2}}",
        *EVERY_SETTING,
    ),
    "a search": ("tune={search: {train.epochs: {low: 1, high: 9}}}",),
    "no gate": ("gates=never",),
}
"""Settings of King County's pipeline, by what is special about them."""


def compiled(folder: pathlib.Path, *settings: str) -> Object:
    """Returns the Argo Workflow of King County's pipeline."""
    config, kubeflow = cluster_config.load(KING_COUNTY, settings)
    return yaml.safe_load(compile_lib.compile_all(config, kubeflow, folder).files[0].read_text())


def steps(workflow: Object) -> dict[str, Object]:
    """Returns the templates of a workflow's steps by name."""
    return {item["name"]: item for item in workflow["spec"]["templates"] if "container" in item}


def pod(workflow: Object, step: str, owner: Object | None = None) -> Object:
    """Returns the pod of a step, but for the containers that Argo adds to the step's own.

    Follows argo-workflows (v3.7.6), workflow/controller/workflowpod.go, createWorkflowPod.

    Args:
        workflow: the workflow.
        step: the name of the step.
        owner: the created workflow; by default the pod has no owner.
    """
    spec, template = workflow["spec"], copy.deepcopy(steps(workflow)[step])
    metadata: Object = {"name": f"a-run-{step}-1234567890", **template.get("metadata", {})}
    if owner:
        metadata["ownerReferences"] = [
            {**reference_to(owner), "controller": True, "blockOwnerDeletion": True}
        ]
    pod_spec: Object = {
        "containers": [{**template["container"], "name": "main"}],
        "restartPolicy": "Never",
        **{key: template[key] for key in ("volumes", "nodeSelector") if key in template},
    }
    for key in ("serviceAccountName", "securityContext", "imagePullSecrets"):
        if key in spec:
            pod_spec[key] = spec[key]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod_spec}


def tfjob(workflow: Object) -> Object:
    """Returns the compiled TFJob, an argument of the Trainer's step."""
    arguments = steps(workflow)["trainer"]["container"]["args"]
    return json.loads(arguments[arguments.index(TFJOB_FLAG) + 1])


def reference_to(owner: Object) -> Object:
    """Returns a reference to an object that owns another."""
    kept = {key: owner["metadata"][key] for key in ("name", "uid")}
    return {"apiVersion": owner["apiVersion"], "kind": owner["kind"], **kept}


def documented(page: str, kind: str) -> Object:
    """Returns the object of a kind whose manifest a page in docs/ shows."""
    text = (ROOT / "docs" / page).read_text()
    pattern = rf"^(apiVersion: \S+\nkind: {kind}\n.*?)^(?:```|END)"
    (manifest,) = re.findall(pattern, text, re.MULTILINE | re.DOTALL)
    return yaml.safe_load(manifest)
