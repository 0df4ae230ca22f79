"""The `kubeflow:` section of a configuration: what a cluster has to know."""

import re
from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from pipeline.fields import Count, Natural, Section, Text, mapping, refuse

DEFAULT = "default"
"""In `resources`: what every step gets that is not named there."""

OBJECT_STORES = ("gs://",)
"""Where a workspace may be without a volume: what TensorFlow and Beam read and write alike."""
_IMAGE = re.compile(r"[a-z0-9][a-zA-Z0-9._:/-]*(:[\w][\w.-]*|@sha256:[0-9a-f]{64})")
_LABEL = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_OBJECT = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TAKEN = ("WORKFLOW_ID", "PYTHONPATH")


class _Pattern(str):
    """Text of one form; numbers are taken as they would be written."""

    pattern: re.Pattern[str]
    expected: str

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> str:
        """Takes it, or raises `ValueError`."""
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            raise ValueError(f"expected {cls.expected}")
        if not cls.pattern.fullmatch(str(value)):
            raise ValueError(f"expected {cls.expected}")
        return str(value)


class Image(_Pattern):
    """A container image with its tag or digest: without one nobody knows what runs."""

    pattern = _IMAGE
    expected = "an image with its tag or digest, as registry.example.com/houses:1.0"


class Memory(_Pattern):
    """An amount of memory; Kubeflow's compiler takes no fractions."""

    pattern = re.compile(r"[1-9]\d*(Ki|Mi|Gi|Ti)")
    expected = "a whole amount with its unit, as 512Mi or 8Gi"


class Cpu(_Pattern):
    """Cores, or thousandths of one."""

    pattern = re.compile(r"[1-9]\d*m?|\d+\.\d+")
    expected = "cores or thousandths of one, as 2, 0.5 or 500m"


class ObjectName(_Pattern):
    """The name of a Kubernetes object."""

    pattern = _OBJECT
    expected = "the name of a Kubernetes object: lower-case letters, digits, - and ."


class Label(_Pattern):
    """The value of a label."""

    pattern = _LABEL
    expected = "at most 63 letters, digits, - _ and ."


class Resources(Section):
    """What a step asks for, and may not exceed.

    Attributes:
        cpu, memory: asked for; the memory is the limit too.
        cpu_limit: by default there is none.
        gpu: whole NVIDIA devices.
    """

    cpu: Cpu | None = None
    cpu_limit: Cpu | None = None
    memory: Memory | None = None
    gpu: Count | None = None


class TfJob(Section):
    """The pods of `train.cluster`, as a TFJob that Kubeflow's training operator looks after.

    Attributes:
        chief, worker, ps, evaluator: what each task of that kind gets; by default what the step of
            the Trainer does.
        keep_hours: how long the job is still there when it has ended, with its pods' logs.
    """

    chief: Resources | None = None
    worker: Resources | None = None
    ps: Resources | None = None
    evaluator: Resources | None = None
    keep_hours: Count = 24


class Retries(Section):
    """What happens when a step fails.

    Attributes:
        limit: how often it is tried again.
        backoff: seconds before the first time ...
        factor: ... and by how much longer before each later one.
        policy: `Always`, or `OnError`, if only the cluster's faults count (a node that is gone).
    """

    limit: Natural
    backoff: Count = 30
    factor: Count = 2
    policy: Literal["Always", "OnFailure", "OnError"] = "Always"


class MetadataService(Section):
    """The metadata store's gRPC address."""

    host: Text
    port: Count = 8080


class Kubeflow(Section):
    """How the pipeline runs on a cluster.

    Attributes:
        image: holds the code; the steps run in it.
        workspace: where runs keep what they make, on the cluster: an object store, or a directory
            on one of the `volumes`.
        data: the folder of the table there; by default the table is in the image.
        push: where blessed models go; by default `serving/` in the workspace.
        host: of the Kubeflow Pipelines API.
        namespace: of the runs, where the installation has many.
        service_account: which the steps run as.
        metadata: by default the installation's own, as its config map `metadata-grpc-configmap`
            says.
        volumes: claims, and where each is mounted in every step.
        resources: by step, `default` for the others.
        tfjob: whether the tasks of `train.cluster` are pods of their own, and what they get;
            without it they are processes in the Trainer's pod.
        environment: variables of every step.
        secrets: variables of every step that take their values from secrets, as `name/key`.
        labels: of every step's pod.
        node_selector: the labels of the nodes that may run the steps.
        image_pull_secrets: with which the image is pulled.
    """

    image: Image
    workspace: Text
    data: Text | None = None
    push: Text | None = None
    host: Text | None = None
    namespace: ObjectName | None = None
    service_account: ObjectName | None = None
    metadata: MetadataService | None = None
    volumes: dict[pydantic.StrictStr, Text] = {}
    resources: dict[pydantic.StrictStr, Resources] = {}
    tfjob: TfJob | None = None
    retries: Retries = Retries(limit=0)
    environment: dict[pydantic.StrictStr, pydantic.StrictStr] = {}
    secrets: dict[pydantic.StrictStr, Text] = {}
    labels: dict[pydantic.StrictStr, Label] = {}
    node_selector: dict[pydantic.StrictStr, Label] = {}
    image_pull_secrets: tuple[ObjectName, ...] = ()

    _mappings = pydantic.validator(
        "volumes",
        "resources",
        "environment",
        "secrets",
        "labels",
        "node_selector",
        pre=True,
        allow_reuse=True,
    )(mapping)

    def resources_of(self, step: str) -> Resources | None:
        """What a step gets."""
        return self.resources.get(step, self.resources.get(DEFAULT))

    @pydantic.validator("retries", pre=True)
    def _number_of_retries(cls, value):
        return {"limit": value} if isinstance(value, int) else value

    @pydantic.validator("volumes")
    def _mounts(cls, value):
        mistakes = []
        for claim, mount in value.items():
            if not _OBJECT.fullmatch(claim):
                mistakes.append(((claim,), f"expected {ObjectName.expected}"))
            if not mount.startswith("/") or mount.rstrip("/") in ("", "/app"):
                mistakes.append(((claim,), "expected an absolute path that is not / or /app"))
        refuse(mistakes)
        return value

    @pydantic.validator("host")
    def _address(cls, value):
        if value and not value.startswith(("http://", "https://")):
            raise ValueError(f"found {value}, expected http://... or https://...")
        return value

    @pydantic.validator("environment", "secrets")
    def _variables(cls, value):
        mistakes = []
        for name in value:
            if not _VARIABLE.fullmatch(name):
                mistakes.append(((name,), "expected letters, digits and _ as the variable's name"))
            elif name in _TAKEN:
                mistakes.append(((name,), "this variable is the pipeline's own; remove it"))
        refuse(mistakes)
        return value

    @pydantic.validator("secrets")
    def _references(cls, value):
        refuse(
            [
                ((name,), "expected the secret's name and a key of it, as database/password")
                for name, reference in value.items()
                if not re.fullmatch(rf"{_OBJECT.pattern}/[-._a-zA-Z0-9]+", reference)
            ]
        )
        return value

    @pydantic.validator("labels", "node_selector")
    def _label_names(cls, value):
        refuse(
            [
                ((name,), "expected a label's name, as team or example.com/team")
                for name in value
                if not _LABEL_KEY.fullmatch(name)
            ]
        )
        return value

    @pydantic.root_validator(skip_on_failure=True)
    def _workspace_is_shared(cls, values):
        """Every step must find there what the others left."""
        mistakes: list[tuple[tuple[str, ...], str]] = []
        for key in ("workspace", "data", "push"):
            mistake = values[key] and misplaced(values[key], values["volumes"], key != "data")
            if mistake:
                mistakes.append(((key,), mistake))
        both = sorted(values["environment"].keys() & values["secrets"].keys())
        mistakes += [(("secrets", name), "stands in environment too; remove one") for name in both]
        refuse(mistakes)
        return values


def misplaced(place: str, volumes: Mapping[str, str], is_written: bool = True) -> str:
    """What is wrong with a place where steps leave what others need; empty if nothing is.

    Args:
        place: a directory, or a folder in an object store.
        volumes: where each claim is mounted.
        is_written: whether steps write there, and not only read.
    """
    pattern = re.search(r"[*?[]", place) if is_written else None
    if pattern:
        # Beam and TFX look for what they wrote by patterns, and have no way to escape a folder.
        return f"found {place}, in which {pattern[0]} begins a pattern; name the folder without it"
    if "{{" in place:
        return f"found {place}, in which Argo takes {{{{ for the beginning of a variable"
    store = next((scheme for scheme in OBJECT_STORES if place.startswith(scheme)), None)
    if store:
        named = re.match(r"[a-z0-9]", place.removeprefix(store))
        return "" if named else f"found {place}, expected {store}bucket/folder"
    mounts = [mount.rstrip("/") for mount in volumes.values()]
    if any(f"{place}/".startswith(f"{mount}/") for mount in mounts):
        return ""
    return (
        f"{place} is neither in an object store ({', '.join(OBJECT_STORES)}) nor on one of the "
        f"volumes ({', '.join(mounts) or 'there are none'}); steps would not find what the others "
        "made"
    )
