"""Rules for the TFJob of the Trainer's tasks, whose pods must be like the step's own."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from models.errors import nearest
from pipeline.config.yaml_file import shown
from pipeline.kubeflow.argo import formats, locations, workflow_schema
from pipeline.kubeflow.argo.tfjob_types import TFJob
from pipeline.kubeflow.rules import resources
from pipeline.kubeflow.step_container import POD_NAME
from pipeline.kubeflow.tfjob.tfjob_manifest import COMMAND, CONTAINER, KIND, LONGEST_PREFIX, TYPES

_NEEDED = ("Chief", "PS")
_ALONE = ("Chief", "Evaluator")


def check(location: str, text: str, step: Mapping[str, Any]) -> list[str]:
    """Returns the problems of a TFJob.

    Args:
        location: the location of the argument that contains it.
        text: the TFJob, as JSON.
        step: the template of the step that creates it.
    """
    try:
        job = json.loads(text)
    except ValueError as error:
        return [f"{location}: not a {KIND} in JSON: {error}"]
    if not isinstance(job, Mapping):
        return [f"{location}: found {shown(job)}, expected a {KIND}"]
    problems = workflow_schema.of(TFJob, job)
    # The other rules rely on correct types.
    problems = problems or list(_check(locations.without_nulls(job), step))
    problems = [f"{location} {finding}" for finding in problems]
    pod_name_variable = {
        "name": POD_NAME,
        "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}},
    }
    if pod_name_variable not in (step["container"].get("env") or ()):
        problems.append(f"{location}: expected the step's variable {POD_NAME} to be metadata.name")
    return problems


def _check(job: Mapping[str, Any], step: Mapping[str, Any]) -> Iterator[str]:
    for key, expected in (("apiVersion", "kubeflow.org/v1"), ("kind", KIND)):
        if job[key] != expected:
            yield f"{key}: found {shown(job[key])}, expected {expected}"
    name = job["metadata"].get("name")
    if not name:
        yield "metadata.name: missing"
    else:
        yield from formats.wrong("metadata.name", name, formats.DNS_LABEL)
    if len(name or "") > LONGEST_PREFIX:
        # The step appends the training's fingerprint, and the operator the task.
        yield f"metadata.name: found {len(name)} letters, expected at most {LONGEST_PREFIX}"
    if job["metadata"].get("ownerReferences"):
        # Kubeflow Pipelines replaces {{workflow.uid}} with the run's id, which is no object's uid.
        yield "metadata.ownerReferences: found in the manifest, where no uid is known; remove it"
    policy = job["spec"]["runPolicy"]["cleanPodPolicy"]
    if policy != "Running":
        yield (
            f"spec.runPolicy.cleanPodPolicy: found {shown(policy)}, expected Running: servers "
            "never end by themselves, and ended pods keep their logs"
        )
    replicas = job["spec"]["tfReplicaSpecs"]
    for kind in _NEEDED:
        if kind not in replicas:
            yield f"spec.tfReplicaSpecs.{kind}: missing; training needs it"
    for kind, replica in replicas.items():
        yield from _replica(f"spec.tfReplicaSpecs.{kind}", kind, replica, step)


def _replica(
    location: str, kind: str, replica: Mapping[str, Any], step: Mapping[str, Any]
) -> Iterator[str]:
    if kind not in TYPES:
        yield f"{location}: unknown kind of task{nearest(kind, TYPES)}"
    count = replica["replicas"]
    if count < 1 or (kind in _ALONE and count > 1):
        expected = "1" if kind in _ALONE else "at least 1"
        yield f"{location}.replicas: found {count}, expected {expected}"
    if replica["restartPolicy"] != "ExitCode":
        yield (
            f"{location}.restartPolicy: found {shown(replica['restartPolicy'])}, expected "
            "ExitCode: an error in the model would recur"
        )
    yield from _pod(f"{location}.template.spec", replica["template"]["spec"], step)


def _pod(location: str, pod: Mapping[str, Any], step: Mapping[str, Any]) -> Iterator[str]:
    if pod.get("volumes") != step.get("volumes"):
        yield f"{location}.volumes: differs from the step's; they share files"
    names = [container["name"] for container in pod["containers"]]
    if names != [CONTAINER]:
        # The operator reads the task's state from the container with this name.
        names_text = ", ".join(names) or "none"
        yield f"{location}.containers: found {names_text}, expected {CONTAINER} alone"
        return
    (container,) = pod["containers"]
    inner = f"{location}.containers.{CONTAINER}"
    if container.get("command") != list(COMMAND):
        yield f"{inner}.command: expected {' '.join(COMMAND)}"
    for key in ("image", "volumeMounts"):
        if container.get(key) != step["container"].get(key):
            yield f"{inner}.{key}: differs from the step's; they share files"
    variables = container.get("env") or []
    if "PYTHONPATH" not in [variable["name"] for variable in variables]:
        yield f"{inner}.env.PYTHONPATH: missing; tasks find the user's modules by it"
    for variable in variables:
        if variable not in (step["container"].get("env") or ()):
            yield f"{inner}.env.{variable['name']}: differs from the step's; expected the same"
    yield from resources.requested(f"{inner}.resources", container.get("resources") or {})
