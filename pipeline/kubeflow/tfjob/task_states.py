"""The state of a TFJob's tasks, as their pods show it."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from models.distributed.layout import Name
from pipeline.kubeflow.tfjob.tfjob_manifest import CONTAINER

_TYPE = "training.kubeflow.org/replica-type"
_INDEX = "training.kubeflow.org/replica-index"
_RETRYABLE = 128
"""The lowest exit code with which the operator restarts a task."""


@dataclasses.dataclass(frozen=True)
class Pod:
    """The pod of one task.

    Attributes:
        task: the name of the task.
        name, uid: the pod's; another uid with the same name is another attempt.
        phase: Kubernetes' phase, or `Terminating`.
        why: the reason for its state; may be empty.
        exit_code: the task's exit code, if it has ended.
    """

    task: Name
    name: str
    uid: str
    phase: str
    why: str
    exit_code: int | None

    @classmethod
    def of(cls, pod: Mapping[str, Any]) -> "Pod":
        """Returns the pod that an object of the API describes."""
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
        """Whether the task failed with an exit code for which the operator does not restart it."""
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
    elif status.get("reason"):  # such as Evicted, which no container reports
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
    """A task's own report of its failure; see `models.programs.cluster_task`."""

    error: str
    traceback: str


def failure(log: Sequence[str]) -> Failure | None:
    """Returns the failure that the end of a task's log reports, or None."""
    for line in reversed(log):
        if line.startswith("{"):
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if record.get("event") == "failed":
                return Failure(record["error"], record["traceback"])
    return None
