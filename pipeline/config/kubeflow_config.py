"""The types of the `kubeflow:` section of a configuration."""

import re
from collections.abc import Mapping
from typing import Literal

import pydantic

from pipeline.config.kubernetes_types import (
    LABEL_KEY,
    VARIABLE_NAME,
    Cpu,
    Image,
    Label,
    Memory,
    ObjectName,
)
from pipeline.config.pydantic_types import (
    Count,
    Mistakes,
    Natural,
    Section,
    Text,
    mapping,
    refuse,
)

DEFAULT = "default"
"""The key in `resources` for all steps that are not named there."""

OBJECT_STORES = ("gs://",)
"""Object stores that may hold a workspace: both TensorFlow and Beam read and write them."""
WORKING_DIRECTORY = "/app"
"""The image's working directory, which contains the project; no volume may hide it."""
_TAKEN = ("WORKFLOW_ID", "PYTHONPATH")


class Resources(Section):
    """Resource requests and limits of a step.

    Attributes:
        cpu, memory: the requests; `memory` is also the limit.
        cpu_limit: no limit by default.
        gpu: the number of NVIDIA devices.
    """

    cpu: Cpu | None = None
    cpu_limit: Cpu | None = None
    memory: Memory | None = None
    gpu: Count | None = None


class TfJob(Section):
    """Pods for the tasks of `train.cluster`, in a TFJob of Kubeflow's training operator.

    Attributes:
        chief, worker, ps, evaluator: the resources of each task with that role; by default those
            of the Trainer's step.
        keep_hours: how long the job and its pods' logs are kept after the job has ended.
    """

    chief: Resources | None = None
    worker: Resources | None = None
    ps: Resources | None = None
    evaluator: Resources | None = None
    keep_hours: Count = 24


class Retries(Section):
    """Retries of a step that fails.

    Attributes:
        limit: the maximum number of retries.
        backoff: seconds before the first retry.
        factor: the wait grows by this factor with each further retry.
        policy: which failures are retried: the step's own (`OnFailure`), the cluster's, such as
            a lost node (`OnError`), or both (`Always`).
    """

    limit: Natural
    backoff: Count = 30
    factor: Count = 2
    policy: Literal["Always", "OnFailure", "OnError"] = "Always"


class MetadataService(Section):
    """The gRPC address of the metadata store."""

    host: Text
    port: Count = 8080


class Kubeflow(Section):
    """How the pipeline runs on a cluster.

    A new setting of the steps' pods is applied in `compile.compiler`, for the pods of the tasks in
    `tfjob.tfjob_manifest` (with its type in `argo.tfjob_types`), and for V2 in `compile.v2`.

    Attributes:
        image: the container image with the code, in which the steps run.
        workspace: the cluster's directory for the outputs of runs: in an object store, or on one
            of the `volumes`.
        data: the table's folder on the cluster; by default the table is in the image.
        push: the serving directory; by default `serving/` in the workspace.
        host: the address of the Kubeflow Pipelines API.
        namespace: the namespace of the runs, on a multi-user installation.
        service_account: the account that the steps run as.
        metadata: the metadata store; by default the one that the installation's config map
            `metadata-grpc-configmap` names.
        volumes: mount paths in every step, by persistent volume claim.
        resources: resources by step; `default` applies to the others.
        tfjob: runs the tasks of `train.cluster` in pods of their own; without it they are
            processes in the Trainer's pod.
        retries: how failed steps are retried; by default they are not.
        environment: variables of every step.
        secrets: variables of every step whose values are in secrets, as `name/key`.
        labels: labels of every step's pod.
        node_selector: labels of the nodes that may run the steps.
        image_pull_secrets: the secrets for pulling the image.
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
        """Returns a step's resources; None if it has none and there is no default."""
        return self.resources.get(step, self.resources.get(DEFAULT))

    @pydantic.validator("retries", pre=True)
    def _limit_in_short(cls, value):
        return {"limit": value} if isinstance(value, int) else value

    @pydantic.validator("volumes")
    def _mounts(cls, value):
        mistakes = []
        for claim, mount in value.items():
            if not ObjectName.pattern.fullmatch(claim):
                mistakes.append(((claim,), f"expected {ObjectName.expected}"))
            if not mount.startswith("/") or mount.rstrip("/") in ("", WORKING_DIRECTORY):
                message = f"expected an absolute path that is not / or {WORKING_DIRECTORY}"
                mistakes.append(((claim,), message))
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
            if not VARIABLE_NAME.fullmatch(name):
                mistakes.append(((name,), "expected letters, digits and _ as the variable's name"))
            elif name in _TAKEN:
                mistakes.append(((name,), "the pipeline sets this variable itself; remove it"))
        refuse(mistakes)
        return value

    @pydantic.validator("secrets")
    def _references(cls, value):
        refuse(
            [
                ((name,), "expected the secret's name and a key of it, such as database/password")
                for name, reference in value.items()
                if not re.fullmatch(rf"{ObjectName.pattern.pattern}/[-._a-zA-Z0-9]+", reference)
            ]
        )
        return value

    @pydantic.validator("labels", "node_selector")
    def _label_names(cls, value):
        refuse(
            [
                ((name,), "expected a label's name, such as team or example.com/team")
                for name in value
                if not LABEL_KEY.fullmatch(name)
            ]
        )
        return value

    @pydantic.root_validator(skip_on_failure=True)
    def _workspace_is_shared(cls, values):
        """Checks that the steps share their directories and that no variable is set twice."""
        mistakes: Mistakes = []
        for key in ("workspace", "data", "push"):
            mistake = values[key] and misplaced(values[key], values["volumes"], key != "data")
            if mistake:
                mistakes.append(((key,), mistake))
        both = sorted(values["environment"].keys() & values["secrets"].keys())
        mistakes += [(("secrets", name), "is also in environment; remove one") for name in both]
        refuse(mistakes)
        return values


def misplaced(path: str, volumes: Mapping[str, str], is_written: bool = True) -> str:
    """Returns why steps cannot share a directory; an empty string if they can.

    Args:
        path: a directory, or a folder in an object store.
        volumes: mount paths by claim.
        is_written: whether steps write there rather than only read.
    """
    pattern = re.search(r"[*?[]", path) if is_written else None
    if pattern:
        # Beam and TFX find their files by glob patterns, in which they cannot escape a folder.
        return f"found {path}, in which {pattern[0]} starts a pattern; rename the folder"
    if "{{" in path:
        return f"found {path}, in which Argo reads {{{{ as the start of a variable"
    store = next((scheme for scheme in OBJECT_STORES if path.startswith(scheme)), None)
    if store:
        named = re.match(r"[a-z0-9]", path.removeprefix(store))
        return "" if named else f"found {path}, expected {store}bucket/folder"
    mounts = [mount.rstrip("/") for mount in volumes.values()]
    if any(f"{path}/".startswith(f"{mount}/") for mount in mounts):
        return ""
    return (
        f"{path} is neither in an object store ({', '.join(OBJECT_STORES)}) nor on one of the "
        f"volumes ({', '.join(mounts) or 'there are none'}); steps could not read each other's "
        "outputs"
    )
