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
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        location = f"spec.imagePullSecrets[{index}].name"
        yield from formats.wrong(location, secret["name"], formats.SUBDOMAIN)
    of_all, again = locations.named("spec.volumes", spec.get("volumes"))
    yield from again
    claims = [
        (claim.get("metadata") or {}).get("name")
        for claim in spec.get("volumeClaimTemplates") or ()
    ]
    mounted: set[str] = set()
    for location, template in locations.templates(workflow):
        yield from _metadata(f"{location}.metadata", template.get("metadata") or {})
        yield from _names(location, template)
        yield from _patch(f"{location}.podSpecPatch", template.get("podSpecPatch"))
        volumes, again = locations.named(f"{location}.volumes", template.get("volumes"))
        yield from again
        yield from _volumes(f"{location}.volumes", template.get("volumes"))
        used = set()
        for inner, container in locations.containers(location, template):
            mounts = container.get("volumeMounts") or ()
            used |= {mount["name"] for mount in mounts}
            yield from _container(inner, container, template, spec)
            for at, mount in locations.entries(f"{inner}.volumeMounts", mounts):
                known = [*volumes, *of_all, *claims]
                if mount["name"] not in known:
                    have = ", ".join(known) or "none"
                    yield f"{at}: no such volume in this template or spec.volumes; there are {have}"
        yield from (
            f"{location}.volumes.{name}: no container mounts it"
            for name in volumes
            if name not in used
        )
        mounted |= used - volumes.keys()
        yield from resources.retried(
            f"{location}.retryStrategy", template.get("retryStrategy") or {}
        )
    yield from _volumes("spec.volumes", spec.get("volumes"))
    yield from (
        f"spec.volumes.{name}: no container mounts it" for name in of_all if name not in mounted
    )
    yield from resources.retried("spec.retryStrategy", spec.get("retryStrategy") or {})


def _metadata(location: str, metadata: Mapping[str, Any]) -> Iterator[str]:
    yield from _labels(f"{location}.labels", metadata.get("labels") or {})
    for key in metadata.get("annotations") or {}:
        yield from formats.wrong(f"{location}.annotations", key, formats.LABEL_KEY)


def _labels(location: str, labels: Mapping[str, str]) -> Iterator[str]:
    for key, value in labels.items():
        yield from formats.wrong(location, key, formats.LABEL_KEY)
        yield from formats.wrong(f"{location}.{key}", value, formats.LABEL_VALUE)


def _names(location: str, value: Any) -> Iterator[str]:
    """Checks names of other objects, node selectors and resources, at any depth."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            inner = locations.below(location, key)
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
        for inner, item in locations.entries(location, value):
            yield from _names(inner, item)


def _patch(location: str, text: str | None) -> Iterator[str]:
    """Checks a patch of the pod's spec, which is YAML in a YAML string."""
    if text is None:
        return
    try:
        patch = yaml.safe_load(text)
    except yaml.YAMLError:
        patch = None
    if not isinstance(patch, dict):
        yield f"{location}: found {shown(text)}, expected keys and values of a pod's spec, as YAML"


def _volumes(location: str, volumes: Any) -> Iterator[str]:
    for inner, volume in locations.entries(location, volumes):
        yield from formats.wrong(f"{inner}.name", volume["name"], formats.DNS_LABEL)
        sources = [key for key in volume if key != "name"]
        if len(sources) != 1:
            # Without a source the volume is an empty directory, which is lost with the pod.
            yield f"{inner}: found sources {', '.join(sources) or 'none'}, expected exactly one"
        if "hostPath" in volume:
            path = volume["hostPath"]["path"]
            yield from formats.wrong(f"{inner}.hostPath.path", path, formats.ABSOLUTE)


def _container(location: str, container: Any, template: Any, spec: Any) -> Iterator[str]:
    yield from _image(f"{location}.image", container["image"])
    yield from _mounts(f"{location}.volumeMounts", container.get("volumeMounts") or ())
    if container.get("workingDir"):
        yield from formats.wrong(
            f"{location}.workingDir", container["workingDir"], formats.ABSOLUTE
        )
    variables, again = locations.named(f"{location}.env", container.get("env"))
    yield from again
    for inner, variable in locations.entries(f"{location}.env", container.get("env")):
        yield from _variable(inner, variable, template, spec)
    for index, source in enumerate(container.get("envFrom") or ()):
        kinds = [key for key in ("configMapRef", "secretRef") if source.get(key)]
        if len(kinds) != 1:
            yield (
                f"{location}.envFrom[{index}]: found {', '.join(kinds) or 'no source'}, "
                "expected one of configMapRef, secretRef"
            )
    for key in ("command", "args"):
        for index, text in enumerate(container.get(key) or ()):
            for match in _EXPANDED.finditer(text):
                # Kubernetes expands these itself, before the container starts.
                if match[0] == "$$" or match[1] in variables:
                    yield f"{location}.{key}[{index}]: found {match[0]}, which Kubernetes replaces"
    # A container's own settings take precedence.
    settings: dict[str, Any] = {}
    for holder in (spec, template, container):
        settings |= holder.get("securityContext") or {}
    if settings.get("runAsNonRoot") and settings.get("runAsUser") == 0:
        yield f"{location}: found runAsNonRoot with runAsUser 0, which is root"


def _mounts(location: str, mounts: Any) -> Iterator[str]:
    paths = [mount["mountPath"].rstrip("/") for mount in mounts]
    yield from locations.twice(f"{location}: mountPath", paths)
    for inner, mount in locations.entries(location, mounts):
        path = mount["mountPath"]
        yield from formats.wrong(f"{inner}.mountPath", path, formats.ABSOLUTE)
        if path == "/":
            yield f"{inner}.mountPath: found '/', which hides the image; expected a path below it"
        if any(f"{path}/".startswith(f"{taken}/") for taken in _OF_PLATFORM):
            yield f"{inner}.mountPath: found {path}, where the platform mounts its own files"
        if "subPath" in mount:
            yield from formats.wrong(f"{inner}.subPath", mount["subPath"], formats.RELATIVE)
        if "subPath" in mount and "subPathExpr" in mount:
            yield f"{inner}: found both subPath and subPathExpr, expected one"


def _image(location: str, image: str) -> Iterator[str]:
    match = re.fullmatch(formats.IMAGE[0], image)
    if not match:
        yield f"{location}: found {image!r}, expected {formats.IMAGE[1]}"
    elif not match["tag"] and not match["digest"]:
        yield f"{location}: found {image}, expected a tag or digest, which says what runs"
    elif match["tag"] == "latest" and not match["digest"]:
        yield f"{location}: found the tag latest, expected one that is never moved"


def _variable(location: str, variable: Any, template: Any, spec: Any) -> Iterator[str]:
    yield from formats.wrong(f"{location}.name", variable["name"], formats.VARIABLE)
    source = variable.get("valueFrom")
    if source is None:
        return
    if variable.get("value"):
        yield f"{location}: found both value and valueFrom, expected one"
    if len(source) != 1:
        yield (
            f"{location}.valueFrom: found {', '.join(source) or 'no source'}, expected exactly one"
        )
    path = (source.get("fieldRef") or {}).get("fieldPath")
    if path is None:
        return
    match = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    inner = f"{location}.valueFrom.fieldRef.fieldPath"
    if not match and path not in _FIELDS:
        yield f"{inner}: found {path}, expected {', '.join(_FIELDS)} or metadata.labels['...']"
    elif match and match[1] == "labels":
        template_labels = (template.get("metadata") or {}).get("labels") or {}
        shared = (spec.get("podMetadata") or {}).get("labels") or {}
        if match[2] not in (*_OF_ARGO, *template_labels, *shared):
            yield f"{inner}: found the label {match[2]}, which the pod does not have"
