"""Which tasks a cluster has, where they listen, and what each is told of it: `TF_CONFIG`."""

import dataclasses
import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

CHIEF, WORKER, PARAMETER_SERVER, EVALUATOR = "chief", "worker", "ps", "evaluator"
"""As `TF_CONFIG` calls them."""


@dataclasses.dataclass(frozen=True)
class Name:
    """One task of a cluster.

    Attributes:
        role: chief, worker, ps or evaluator.
        index: among those of its role, from 0 on.
    """

    role: str
    index: int

    def __str__(self) -> str:
        """As people are told of it, and its log is called: `chief`, `worker-0`."""
        alone = self.role in (CHIEF, EVALUATOR)
        return self.role if alone else f"{self.role}-{self.index}"

    @property
    def trains(self) -> bool:
        """Whether it makes steps."""
        return self.role in (CHIEF, WORKER)


def names(cluster: Mapping[str, Any]) -> list[Name]:
    """The tasks of `train.cluster`, in the order in which they are started."""
    return [
        *(Name(PARAMETER_SERVER, index) for index in range(cluster["parameter_servers"])),
        Name(CHIEF, 0),
        *(Name(WORKER, index) for index in range(cluster["workers"])),
        *([Name(EVALUATOR, 0)] if cluster["evaluator"] else []),
    ]


@contextmanager
def addresses(tasks: Sequence[Name]) -> Iterator[dict[str, list[str]]]:
    """Free ports of this machine for all tasks but the evaluator, which nobody speaks to.

    The ports stay bound, though nothing listens on them here, so that no other program gets the one
    of a task that is about to be started again. TensorFlow's server shares a port where
    `TF_GRPC_REUSE_PORT` says so.
    """
    found: dict[str, list[str]] = {}
    with ExitStack() as stack:
        for task in tasks:
            if task.role == EVALUATOR:
                continue
            reserved = stack.enter_context(socket.socket())
            reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            reserved.bind(("127.0.0.1", 0))
            found.setdefault(task.role, []).append(f"127.0.0.1:{reserved.getsockname()[1]}")
        yield found


def tf_config(cluster: Mapping[str, Sequence[str]], task: Name) -> str:
    """What an Estimator finds its place in the cluster by."""
    return json.dumps({"cluster": cluster, "task": {"type": task.role, "index": task.index}})
