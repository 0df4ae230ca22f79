"""Hosts that are never reached through a proxy: this machine and the tasks of a cluster.

gRPC, `requests` and `urllib` send everything through the proxy that the environment names, even
loopback traffic. To a proxy, loopback is the machine it runs on, so workers, tasks and servers of
this machine would wait for each other in vain.
"""

import os
from collections.abc import Iterable, Mapping

LOOPBACK = ("127.0.0.1", "localhost", "::1")
"""The names of this machine."""
_EVERYTHING = "*"


def variables(environment: Mapping[str, str], hosts: Iterable[str] = ()) -> dict[str, str]:
    """Returns the variables that exempt this machine and other hosts from proxies.

    Existing exemptions are kept. `urllib` and `requests` prefer `no_proxy` to `NO_PROXY`, so both
    get the entries of either. gRPC prefers `no_grpc_proxy` to `no_proxy` and does not support `*`.

    >>> variables({"NO_PROXY": "intra.example"}, ["chief-0"])["no_proxy"]
    'intra.example,127.0.0.1,localhost,::1,chief-0'

    Args:
        environment: the current environment variables.
        hosts: names or addresses without ports.
    """
    general = [*_entries(environment, "no_proxy"), *_entries(environment, "NO_PROXY")]
    grpc = _entries(environment, "no_grpc_proxy") or general
    exempted = _EVERYTHING if _EVERYTHING in general else _joined([*general, *LOOPBACK, *hosts])
    return {
        "no_proxy": exempted,
        "NO_PROXY": exempted,
        "no_grpc_proxy": _joined([*grpc, *LOOPBACK, *hosts]),
    }


def exempt(hosts: Iterable[str] = ()) -> None:
    """Exempts this machine and other hosts, for this process and those that it starts.

    Call this before any connection is made.
    """
    os.environ.update(variables(os.environ, hosts))


def _entries(environment: Mapping[str, str], name: str) -> list[str]:
    return [entry.strip() for entry in environment.get(name, "").split(",") if entry.strip()]


def _joined(entries: Iterable[str]) -> str:
    return ",".join(dict.fromkeys(entries))
