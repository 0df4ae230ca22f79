"""Tasks of a cluster, their addresses, and the `TF_CONFIG` that describes them to each task."""

import dataclasses
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from models.errors import UserError
from models.settings.training_settings import Tasks

CHIEF, WORKER, PARAMETER_SERVER, EVALUATOR = "chief", "worker", "ps", "evaluator"
"""Roles of tasks, as named in `TF_CONFIG`."""

_TF_CONFIG = "TF_CONFIG"
_SHOWN = 60
"""Maximum number of characters that an error quotes."""


@dataclasses.dataclass(frozen=True)
class Name:
    """Role and index of a task of a cluster.

    Attributes:
        role: chief, worker, ps or evaluator.
        index: index among the tasks of the same role, from 0.
    """

    role: str
    index: int

    def __str__(self) -> str:
        """Returns the name in messages and log files, such as `chief` or `worker-0`."""
        alone = self.role in (CHIEF, EVALUATOR)
        return self.role if alone else f"{self.role}-{self.index}"

    @property
    def trains(self) -> bool:
        """Whether the task makes training steps."""
        return self.role in (CHIEF, WORKER)


def names(tasks: Tasks) -> list[Name]:
    """Returns the tasks of `train.cluster`, in the order in which they start."""
    return [
        *(Name(PARAMETER_SERVER, index) for index in range(tasks.parameter_servers)),
        Name(CHIEF, 0),
        *(Name(WORKER, index) for index in range(tasks.workers)),
        *([Name(EVALUATOR, 0)] if tasks.evaluator else []),
    ]


@contextmanager
def addresses(tasks: Sequence[Name]) -> Iterator[dict[str, list[str]]]:
    """Context manager: reserves a local port per task, except the evaluator, which needs none.

    It yields the addresses by role. The ports stay bound without listening, so that no other
    program takes the port of a task that is about to restart. They are bound on every address of
    the machine, as TensorFlow's server listens on all of them: it would not start if another
    program used the port on one. The server shares a bound port if `TF_GRPC_REUSE_PORT` is set.
    """
    by_role: dict[str, list[str]] = {}
    with ExitStack() as stack:
        for task in tasks:
            if task.role == EVALUATOR:
                continue
            reserved = stack.enter_context(_bound())
            by_role.setdefault(task.role, []).append(f"127.0.0.1:{reserved.getsockname()[1]}")
        yield by_role


def _bound() -> socket.socket:
    """Returns a socket that shares its free port, on every address of the machine."""
    dual_stack = socket.has_dualstack_ipv6()
    bound = socket.socket(socket.AF_INET6 if dual_stack else socket.AF_INET)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if dual_stack:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    bound.bind(("", 0))
    return bound


def tf_config(cluster: Mapping[str, Sequence[str]], task: Name) -> str:
    """Returns the `TF_CONFIG` that tells an Estimator the cluster and its own task."""
    return json.dumps({"cluster": cluster, "task": {"type": task.role, "index": task.index}})


@dataclasses.dataclass(frozen=True)
class Cluster:
    """Cluster to which this process belongs as a task.

    Attributes:
        task: the task of this process.
        addresses: `host:port` of the listening tasks, by role.
    """

    task: Name
    addresses: Mapping[str, Sequence[str]]

    @property
    def hosts(self) -> list[str]:
        """The hosts of the tasks, sorted, each once."""
        addresses = (address for role in self.addresses.values() for address in role)
        return sorted({address.rpartition(":")[0].strip("[]") for address in addresses})


def in_environment(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """Reads `TF_CONFIG`; returns None if it is missing or describes no cluster.

    Raises:
        UserError: `TF_CONFIG` is malformed, or its task is not in its cluster.
    """
    text = environment.get(_TF_CONFIG, "").strip()
    if not text:
        return None
    try:
        return _parsed(json.loads(text))
    except json.JSONDecodeError as error:
        what = f"found {_shown(text)}, which is not JSON ({error.msg} at character {error.pos + 1})"
    except _Malformed as error:
        what = str(error)
    raise UserError(
        f"{_TF_CONFIG}: {what}; expected a cluster and a task, such as "
        '{"cluster": {"chief": ["host:port"], "worker": ["host:port"]}, '
        '"task": {"type": "worker", "index": 0}}; unset it or correct it'
    )


class _Malformed(Exception):
    """JSON that is not a valid description of a cluster."""


def _parsed(config: Any) -> Cluster | None:
    if not isinstance(config, dict):
        raise _Malformed(f"found {_shown(json.dumps(config))}, which is not a JSON object")
    cluster, task = config.get("cluster") or {}, config.get("task") or {}
    if not isinstance(cluster, dict) or not isinstance(task, dict):
        raise _Malformed("cluster and task are not JSON objects")
    addresses = {}
    for name, listed in cluster.items():
        # A sparse cluster has a mapping by index.
        listed = list(listed.values()) if isinstance(listed, dict) else listed
        if not isinstance(listed, list) or not all(isinstance(address, str) for address in listed):
            found = _shown(json.dumps(listed))
            raise _Malformed(f"cluster.{name}: found {found}, not a list of addresses")
        addresses[name] = listed
    role: Any = task.get("type")
    index = task.get("index", 0)
    if not addresses and role != EVALUATOR:
        return None
    if role != EVALUATOR and role not in addresses:
        raise _Malformed(f"task.type: found {json.dumps(role)}, not among {sorted(addresses)}")
    if not str(index).isdigit() or (role in addresses and int(index) >= len(addresses[role])):
        count = len(addresses.get(role, ()))
        raise _Malformed(f"task.index: found {json.dumps(index)}, but {role} has {count} addresses")
    return Cluster(Name(role, int(index)), addresses)


def _shown(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
