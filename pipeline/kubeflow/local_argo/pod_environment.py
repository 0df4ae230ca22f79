"""Pods that run on this machine: the variables and directories of their containers."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import UserError

_LABEL_PATH = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")


@dataclasses.dataclass(frozen=True)
class Cluster:
    """The objects of a cluster's namespace that pods refer to.

    Attributes:
        volumes: a directory with a subdirectory for each persistent volume claim.
        config_maps, secrets: keys and values, by name.
    """

    volumes: pathlib.Path
    config_maps: Mapping[str, Mapping[str, str]]
    secrets: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Pod:
    """One attempt of a step.

    Attributes:
        name, uid, namespace, labels, annotations: the pod's metadata.
        template: the step's template, with its references replaced.
        scratch: a directory for what the container writes outside its volumes.
    """

    name: str
    uid: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    template: Mapping[str, Any]
    scratch: pathlib.Path
    namespace: str = "default"

    @property
    def container(self) -> Mapping[str, Any]:
        """The pod's only container."""
        return self.template["container"]

    def environment(self, cluster: Cluster) -> dict[str, str]:
        """Returns the container's variables, as its manifest defines them.

        Raises:
            UserError: a variable refers to something that does not exist or is not supported.
        """
        variables: dict[str, str] = {}
        for source in self.container.get("envFrom", []):
            variables.update(self._all_of(source, cluster))
        for variable in self.container.get("env", []):
            if "valueFrom" in variable:
                value = self._value(variable["name"], variable["valueFrom"], cluster)
                if value is None:
                    continue
            else:
                value = variable.get("value", "")
            variables[variable["name"]] = value
        return variables

    def _all_of(self, source: Mapping[str, Any], cluster: Cluster) -> Mapping[str, str]:
        for kind, known in (("configMapRef", cluster.config_maps), ("secretRef", cluster.secrets)):
            if reference := source.get(kind):
                if reference["name"] in known:
                    return known[reference["name"]]
                if reference.get("optional"):
                    return {}
                raise _missing(kind, reference["name"])
        raise UserError(f"workflow: envFrom: {', '.join(source)}: not supported by `run`")

    def _value(self, name: str, source: Mapping[str, Any], cluster: Cluster) -> str | None:
        if field := source.get("fieldRef"):
            return self._field(name, field["fieldPath"])
        for kind, known in (
            ("configMapKeyRef", cluster.config_maps),
            ("secretKeyRef", cluster.secrets),
        ):
            if reference := source.get(kind):
                value = known.get(reference["name"], {}).get(reference["key"])
                if value is None and not reference.get("optional"):
                    raise _missing(kind, f"{reference['name']}/{reference['key']}")
                return value
        raise UserError(f"workflow: {name}: {', '.join(source)}: not supported by `run`")

    def _field(self, name: str, path: str) -> str:
        plain = {
            "metadata.name": self.name,
            "metadata.uid": self.uid,
            "metadata.namespace": self.namespace,
        }
        if path in plain:
            return plain[path]
        if match := _LABEL_PATH.fullmatch(path):
            values = self.labels if match.group(1) == "labels" else self.annotations
            return values.get(match.group(2), "")  # empty if missing, as in Kubernetes
        raise UserError(f"workflow: {name}: fieldPath {path}: not supported by `run`")

    def mounts(
        self, cluster: Cluster, volumes: Sequence[Mapping[str, Any]]
    ) -> dict[str, pathlib.Path]:
        """Returns the directories of this machine that the container mounts, by mount path.

        Args:
            cluster: has the claims' directories, which are created if missing.
            volumes: the workflow's volumes; the template may have more.

        Raises:
            UserError: a volume is unknown, or of a kind that only a cluster has.
        """
        known = {item["name"]: item for item in [*volumes, *self.template.get("volumes", [])]}
        directories = {}
        for mount in self.container.get("volumeMounts", []):
            volume = known.get(mount["name"], {})
            if claim := volume.get("persistentVolumeClaim"):
                directory = cluster.volumes / claim["claimName"]
            elif "emptyDir" in volume:
                directory = self.scratch / "volumes" / mount["name"]
            else:
                raise UserError(
                    f"workflow: volume {mount['name']}: expected a persistentVolumeClaim or an "
                    "emptyDir; `run` supports no other"
                )
            if sub_path := mount.get("subPath"):
                directory /= sub_path
            directory.mkdir(parents=True, exist_ok=True)
            directories[os.path.normpath(mount["mountPath"])] = directory
        return directories


def _missing(kind: str, name: str) -> UserError:
    if kind.startswith("secret"):
        return UserError(f"secret {name}: missing; give it as --secret NAME/KEY=VALUE")
    return UserError(f"workflow: {kind}: there is no config map with {name}")
