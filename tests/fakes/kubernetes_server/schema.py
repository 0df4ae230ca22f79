"""Checks a TFJob against kubeflow.org/v1: its fields, types and enums.

Pods are checked against the types of Kubernetes' own client library.
"""

import re

from kubernetes import client
from pipelines_server import strict

MODELS = {
    name: {model.attribute_map[field]: kind for field, kind in model.openapi_types.items()}
    for name, model in vars(client).items()
    if hasattr(model, "openapi_types")
} | {
    "TFJob": {"apiVersion": "str", "kind": "str", "metadata": "V1ObjectMeta", "spec": "Spec"},
    "Spec": {
        "runPolicy": "RunPolicy",
        "successPolicy": "str",
        "tfReplicaSpecs": "dict(str, Replica)",
        "enableDynamicWorker": "bool",
    },
    "RunPolicy": {
        "cleanPodPolicy": "str",
        "ttlSecondsAfterFinished": "int",
        "activeDeadlineSeconds": "int",
        "backoffLimit": "int",
        "schedulingPolicy": "object",
        "suspend": "bool",
    },
    "Replica": {"replicas": "int", "template": "V1PodTemplateSpec", "restartPolicy": "str"},
}
TYPES = ("Chief", "Master", "PS", "Worker", "Evaluator")


def mistakes(job):
    """Returns the mistakes of a TFJob, one message each."""
    problems = strict.mistakes(job, "TFJob", {"models": MODELS, "enums": {}}, "TFJob")
    if problems:
        return problems
    if (job["apiVersion"], job["kind"]) != ("kubeflow.org/v1", "TFJob"):
        return ["TFJob: wrong apiVersion or kind"]
    if not re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", job["metadata"]["name"]):
        problems.append("metadata.name: no DNS-1035 label")
    # apimachinery/pkg/api/validation/objectmeta.go, validateOwnerReference.
    for owner in job["metadata"].get("ownerReferences") or ():
        problems += [
            f"metadata.ownerReferences.{key}: must not be empty"
            for key in ("apiVersion", "kind", "name", "uid")
            if not owner.get(key)
        ]
    policy = job["spec"]["runPolicy"].get("cleanPodPolicy", "None")
    if policy not in ("All", "Running", "None"):
        problems.append(f"runPolicy.cleanPodPolicy: {policy!r}")
    for kind, replica in job["spec"]["tfReplicaSpecs"].items():
        if kind not in TYPES:
            problems.append(f"tfReplicaSpecs: {kind!r} is none of {TYPES}")
        if replica["restartPolicy"] not in ("Always", "OnFailure", "Never", "ExitCode"):
            problems.append(f"{kind}.restartPolicy: {replica['restartPolicy']!r}")
        containers = replica["template"]["spec"]["containers"]
        if "tensorflow" not in [container["name"] for container in containers]:
            problems.append(f"{kind}: there is no container named tensorflow")
        if any("{{" in str(container) for container in containers):
            problems.append(f"{kind}: a variable that nobody has filled in")
    return problems
