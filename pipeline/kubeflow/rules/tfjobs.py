"""What the TFJob of the Trainer's tasks must be: of pods like the step's own, which train alike."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import nearest
from pipeline.kubeflow.rules import forms, places, schema
from pipeline.kubeflow.tfjob.manifest import COMMAND, CONTAINER, KIND, LONGEST_PREFIX, TYPES
from pipeline.yaml_file import shown

_KEYS = {
    "": ("apiVersion", "kind", "metadata", "spec"),
    "spec": ("runPolicy", "tfReplicaSpecs"),
    "spec.runPolicy": ("cleanPodPolicy", "ttlSecondsAfterFinished", "backoffLimit"),
}
_OF_REPLICA = ("replicas", "restartPolicy", "template")


def check(place: str, text: str, step: Mapping[str, Any]) -> list[str]:
    """The findings about a TFJob.

    Args:
        place: of the argument that has it.
        text: the TFJob, as JSON.
        step: the template of the step that creates it.
    """
    try:
        job = json.loads(text)
        return list(_check(place, job, step))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        return [f"{place}: not a {KIND} in JSON: {type(error).__name__}: {error}"]


def _check(place: str, job: Mapping[str, Any], step: Mapping[str, Any]) -> Iterator[str]:
    for path, known in _KEYS.items():
        part: Any = job
        for key in filter(None, path.split(".")):
            part = part[key]
        for key in part:
            if key not in known:
                yield f"{place} {places.below(path, key)}: unknown key{nearest(key, known)}"
    if (job["apiVersion"], job["kind"]) != ("kubeflow.org/v1", KIND):
        yield f"{place}: found {job['apiVersion']} {job['kind']}, expected kubeflow.org/v1 {KIND}"
    name = job["metadata"]["name"]
    yield from forms.wrong(f"{place} metadata.name", name, forms.DNS_LABEL)
    if len(name) > LONGEST_PREFIX:
        yield f"{place} metadata.name: found {len(name)} letters, expected at most {LONGEST_PREFIX}"
    replicas = job["spec"]["tfReplicaSpecs"]
    for kind in ("Chief", "PS"):
        if kind not in replicas:
            yield f"{place} spec.tfReplicaSpecs.{kind}: missing; nothing is trained without"
    for kind, replica in replicas.items():
        inner = f"{place} spec.tfReplicaSpecs.{kind}"
        if kind not in TYPES:
            yield f"{inner}: unknown kind of task{nearest(kind, TYPES)}"
        for key in replica:
            if key not in _OF_REPLICA:
                yield f"{inner}.{key}: unknown key{nearest(key, _OF_REPLICA)}"
        if replica["restartPolicy"] != "ExitCode":
            yield (
                f"{inner}.restartPolicy: found {shown(replica['restartPolicy'])}, expected "
                "ExitCode: an error of the model comes again"
            )
        yield from _pod(inner, replica["template"]["spec"], step)


def _pod(place: str, pod: Mapping[str, Any], step: Mapping[str, Any]) -> Iterator[str]:
    names = [container["name"] for container in pod["containers"]]
    if names != [CONTAINER]:
        yield f"{place}: found containers {', '.join(names) or 'none'}, expected {CONTAINER}"
        return
    (container,) = pod["containers"]
    yield from schema.of_container(place, container)
    if container.get("command") != list(COMMAND):
        yield f"{place}.command: expected {' '.join(COMMAND)}"
    for key in ("image", "volumeMounts"):
        if container.get(key) != step["container"].get(key):
            yield f"{place}.{key}: differs from the step's; what one writes the other reads"
    if pod.get("volumes") != step.get("volumes"):
        yield f"{place}.volumes: differs from the step's; what one writes the other reads"
