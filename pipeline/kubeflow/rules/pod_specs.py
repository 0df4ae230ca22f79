"""Kubernetes' rules for the pods of the templates, beyond types."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from pipeline.config.yaml_file import shown
from pipeline.kubeflow.argo import formats, locations
from pipeline.kubeflow.rules import resources

_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_OF_ARGO = ("workflows.argoproj.io/workflow", "workflows.argoproj.io/completed")
# Keys with names as values, at any depth.
_NAMED = {
    "serviceAccountName": formats.SUBDOMAIN,
    "claimName": formats.SUBDOMAIN,
    "secretName": formats.SUBDOMAIN,
    "priorityClassName": formats.SUBDOMAIN,
    "schedulerName": formats.SUBDOMAIN,
    "namespace": formats.DNS_LABEL,
    "runtimeClassName": formats.SUBDOMAIN,
}
_OF_PLATFORM = ("/argo", "/var/run/argo", "/var/run/secrets/kubernetes.io")
"""Directories in which Argo and Kubernetes mount their own files."""
_EXPANDED = re.compile(r"\$\$|\$\(([\w.-]+)\)")
_REFERENCES = ("secretKeyRef", "configMapKeyRef", "secretRef", "configMapRef", "configMap")


def check(workflow: Mapping[str, Any]) -> list[str]:
    """Returns the problems of names, labels, images, variables, volumes, resources and retries."""
    return list(_check(workflow))


def _check(workflow: Mapping[str, Any]) -> Iterator[str]:
    spec, metadata = workflow["spec"], workflow["metadata"]
    yield from _metadata("metadata", metadata)
    if not metadata.get("name") and not metadata.get("generateName"):
        yield "metadata: found neither name nor generateName, expected one of them"
    if metadata.get("name"):
        # The name becomes the value of a label of every pod.
        yield from formats.wrong("metadata.name", metadata["name"], formats.DNS_LABEL)
    if metadata.get("generateName"):
        yield from formats.wrong(
            "metadata.generateName", metadata["generateName"], formats.GENERATED
        )
    yield from _patch("spec.podSpecPatch", spec.get("podSpecPatch"))
    for key in ("podMetadata", "workflowMetadata"):
        yield from _metadata(f"spec.{key}", spec.get(key) or {})
    yield from _names("spec", {key: spec[key] for key in spec if key != "templates"})
    for number, secret in enumerate(spec.get("imagePullSecrets") or ()):
        place = f"spec.imagePullSecrets[{number}].name"
        yield from formats.wrong(place, secret["name"], formats.SUBDOMAIN)
    of_all, again = locations.named("spec.volumes", spec.get("volumes"))
    yield from again
    claims = [
        (claim.get("metadata") or {}).get("name")
        for claim in spec.get("volumeClaimTemplates") or ()
    ]
    mounted: set[str] = set()
    for place, template in locations.templates(workflow):
        yield from _metadata(f"{place}.metadata", template.get("metadata") or {})
        yield from _names(place, template)
        yield from _patch(f"{place}.podSpecPatch", template.get("podSpecPatch"))
        volumes, again = locations.named(f"{place}.volumes", template.get("volumes"))
        yield from again
        yield from _volumes(f"{place}.volumes", template.get("volumes"))
        used = set()
        for inner, container in locations.containers(place, template):
            mounts = container.get("volumeMounts") or ()
            used |= {mount["name"] for mount in mounts}
            yield from _container(inner, container, template, spec)
            for at, mount in locations.entries(f"{inner}.volumeMounts", mounts):
                known = [*volumes, *of_all, *claims]
                if mount["name"] not in known:
                    have = ", ".join(known) or "none"
                    yield f"{at}: no such volume in this template or spec.volumes; there are {have}"
        yield from (
            f"{place}.volumes.{name}: no container mounts it"
            for name in volumes
            if name not in used
        )
        mounted |= used - volumes.keys()
        yield from resources.retried(f"{place}.retryStrategy", template.get("retryStrategy") or {})
    yield from _volumes("spec.volumes", spec.get("volumes"))
    yield from (
        f"spec.volumes.{name}: no container mounts it" for name in of_all if name not in mounted
    )
    yield from resources.retried("spec.retryStrategy", spec.get("retryStrategy") or {})


def _metadata(place: str, metadata: Mapping[str, Any]) -> Iterator[str]:
    yield from _labels(f"{place}.labels", metadata.get("labels") or {})
    for key in metadata.get("annotations") or {}:
        yield from formats.wrong(f"{place}.annotations", key, formats.LABEL_KEY)


def _labels(place: str, labels: Mapping[str, str]) -> Iterator[str]:
    for key, value in labels.items():
        yield from formats.wrong(place, key, formats.LABEL_KEY)
        yield from formats.wrong(f"{place}.{key}", value, formats.LABEL_VALUE)


def _names(place: str, value: Any) -> Iterator[str]:
    """Checks names of other objects, node selectors and resources, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = locations.below(place, key)
            if key in _NAMED and isinstance(item, str):
                yield from formats.wrong(inner, item, _NAMED[key])
            elif key in _REFERENCES and isinstance(item, Mapping):
                if "name" in item:
                    yield from formats.wrong(f"{inner}.name", item["name"], formats.SUBDOMAIN)
                if "key" in item:
                    yield from formats.wrong(f"{inner}.key", item["key"], formats.KEY)
            elif key == "nodeSelector":
                yield from _labels(inner, item or {})
            elif key == "resources" and isinstance(item, Mapping):
                yield from resources.requested(inner, item)
            if key not in ("parameters", "labels", "annotations"):
                yield from _names(inner, item)
    elif isinstance(value, list):
        for inner, item in locations.entries(place, value):
            yield from _names(inner, item)


def _patch(place: str, text: str | None) -> Iterator[str]:
    """Checks a patch of the pod's spec, which is YAML in a YAML string."""
    if text is None:
        return
    try:
        patch = yaml.safe_load(text)
    except yaml.YAMLError:
        patch = None
    if not isinstance(patch, dict):
        yield f"{place}: found {shown(text)}, expected keys and values of a pod's spec, as YAML"


def _volumes(place: str, volumes: Any) -> Iterator[str]:
    for inner, volume in locations.entries(place, volumes):
        yield from formats.wrong(f"{inner}.name", volume["name"], formats.DNS_LABEL)
        sources = [key for key in volume if key != "name"]
        if len(sources) != 1:
            # Without a source the volume is an empty directory, which is lost with the pod.
            yield f"{inner}: found sources {', '.join(sources) or 'none'}, expected exactly one"
        if "hostPath" in volume:
            path = volume["hostPath"]["path"]
            yield from formats.wrong(f"{inner}.hostPath.path", path, formats.ABSOLUTE)


def _container(place: str, container: Any, template: Any, spec: Any) -> Iterator[str]:
    yield from _image(f"{place}.image", container["image"])
    yield from _mounts(f"{place}.volumeMounts", container.get("volumeMounts") or ())
    if container.get("workingDir"):
        yield from formats.wrong(f"{place}.workingDir", container["workingDir"], formats.ABSOLUTE)
    variables, again = locations.named(f"{place}.env", container.get("env"))
    yield from again
    for inner, variable in locations.entries(f"{place}.env", container.get("env")):
        yield from _variable(inner, variable, template, spec)
    for number, source in enumerate(container.get("envFrom") or ()):
        kinds = [key for key in ("configMapRef", "secretRef") if source.get(key)]
        if len(kinds) != 1:
            yield (
                f"{place}.envFrom[{number}]: found {', '.join(kinds) or 'no source'}, "
                "expected one of configMapRef, secretRef"
            )
    for key in ("command", "args"):
        for number, text in enumerate(container.get(key) or ()):
            for found in _EXPANDED.finditer(text):
                # Kubernetes expands these itself, before the container starts.
                if found[0] == "$$" or found[1] in variables:
                    yield f"{place}.{key}[{number}]: found {found[0]}, which Kubernetes replaces"
    # A container's own settings take precedence.
    settings: dict[str, Any] = {}
    for holder in (spec, template, container):
        settings |= holder.get("securityContext") or {}
    if settings.get("runAsNonRoot") and settings.get("runAsUser") == 0:
        yield f"{place}: found runAsNonRoot with runAsUser 0, which is root"


def _mounts(place: str, mounts: Any) -> Iterator[str]:
    paths = [mount["mountPath"].rstrip("/") for mount in mounts]
    yield from locations.twice(f"{place}: mountPath", paths)
    for inner, mount in locations.entries(place, mounts):
        path = mount["mountPath"]
        yield from formats.wrong(f"{inner}.mountPath", path, formats.ABSOLUTE)
        if path == "/":
            yield f"{inner}.mountPath: found '/', which hides the image; expected a path below it"
        if any(f"{path}/".startswith(f"{taken}/") for taken in _OF_PLATFORM):
            yield f"{inner}.mountPath: found {path}, where the platform mounts its own"
        if "subPath" in mount:
            yield from formats.wrong(f"{inner}.subPath", mount["subPath"], formats.RELATIVE)
        if "subPath" in mount and "subPathExpr" in mount:
            yield f"{inner}: found both subPath and subPathExpr, expected one"


def _image(place: str, image: str) -> Iterator[str]:
    found = re.fullmatch(formats.IMAGE[0], image)
    if not found:
        yield f"{place}: found {image!r}, expected {formats.IMAGE[1]}"
    elif not found["tag"] and not found["digest"]:
        yield f"{place}: found {image}, expected a tag or digest: else nobody knows what runs"
    elif found["tag"] == "latest" and not found["digest"]:
        yield f"{place}: found the tag latest, expected one that stays with its image"


def _variable(place: str, variable: Any, template: Any, spec: Any) -> Iterator[str]:
    yield from formats.wrong(f"{place}.name", variable["name"], formats.VARIABLE)
    source = variable.get("valueFrom")
    if source is None:
        return
    if variable.get("value"):
        yield f"{place}: found both value and valueFrom, expected one"
    if len(source) != 1:
        yield f"{place}.valueFrom: found {', '.join(source) or 'no source'}, expected exactly one"
    path = (source.get("fieldRef") or {}).get("fieldPath")
    if path is None:
        return
    found = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    inner = f"{place}.valueFrom.fieldRef.fieldPath"
    if not found and path not in _FIELDS:
        yield f"{inner}: found {path}, expected {', '.join(_FIELDS)} or metadata.labels['...']"
    elif found and found[1] == "labels":
        own = (template.get("metadata") or {}).get("labels") or {}
        shared = (spec.get("podMetadata") or {}).get("labels") or {}
        if found[2] not in (*_OF_ARGO, *own, *shared):
            yield f"{inner}: found the label {found[2]}, which the pod does not have"
