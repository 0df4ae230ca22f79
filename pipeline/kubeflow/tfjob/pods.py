"""How the tasks of a TFJob are: their pods, in words."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from models.cluster.layout import Name
from pipeline.kubeflow.tfjob.manifest import CONTAINER

_TYPE = "training.kubeflow.org/replica-type"
_INDEX = "training.kubeflow.org/replica-index"
_RETRYABLE = 128
"""From this exit code on the operator starts a task again."""


@dataclasses.dataclass(frozen=True)
class Pod:
    """The pod of one task.

    Attributes:
        task: which one.
        name, uid: the pod's. Another one of the same name is another try.
        phase: as Kubernetes has it.
        why: what there is to say of it; may be empty.
        exit_code: of the task, if it has ended.
    """

    task: Name
    name: str
    uid: str
    phase: str
    why: str
    exit_code: int | None

    @classmethod
    def of(cls, pod: Mapping[str, Any]) -> "Pod":
        """What the API says of a pod."""
        metadata, status = pod["metadata"], pod.get("status") or {}
        labels = metadata["labels"]
        state: Mapping[str, Any] = {}
        for container in status.get("containerStatuses") or ():
            if container["name"] == CONTAINER:
                state = container.get("state") or {}
        ended = state.get("terminated")
        return cls(
            Name(labels[_TYPE].lower(), int(labels[_INDEX])),
            metadata["name"],
            metadata["uid"],
            "Terminating" if metadata.get("deletionTimestamp") else status.get("phase", "Pending"),
            _why(status, state),
            ended["exitCode"] if ended else None,
        )

    @property
    def has_failed_for_good(self) -> bool:
        """Whether the operator does not start its task again."""
        return self.phase == "Failed" and 0 < (self.exit_code or 0) < _RETRYABLE

    def __str__(self) -> str:
        return f"{self.task} {self.phase}" + (f" ({self.why})" if self.why else "")


def _why(status: Mapping[str, Any], state: Mapping[str, Any]) -> str:
    if ended := state.get("terminated"):
        reason = ended.get("reason", "")
        code = f"exit code {ended['exitCode']}" if ended["exitCode"] else ""
        parts = [reason if reason not in ("Error", "Completed") else "", code]
    elif waiting := state.get("waiting"):
        parts = [waiting.get("reason", ""), waiting.get("message", "")]
    elif status.get("reason"):  # as Evicted, which no container knows of
        parts = [status["reason"], status.get("message", "")]
    else:
        parts = [
            f"{condition.get('reason', '')}: {condition.get('message', '')}"
            for condition in status.get("conditions") or ()
            if condition["type"] == "PodScheduled" and condition["status"] == "False"
        ]
    return " ".join(", ".join(part for part in parts if part).split())


@dataclasses.dataclass(frozen=True)
class Failure:
    """What a task said of its end; see `models.cluster.task`."""

    error: str
    traceback: str


def failure(log: Sequence[str]) -> Failure | None:
    """What the end of a task's log says of why it failed, if it does."""
    for line in reversed(log):
        if line.startswith("{"):
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if said.get("event") == "failed":
                return Failure(said["error"], said["traceback"])
    return None
