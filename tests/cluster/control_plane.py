"""The control plane of a cluster without nodes: etcd, the API server, the controller manager."""

import contextlib
import functools
import ipaddress
import pathlib
import secrets
from collections.abc import Iterator, Sequence

import certificates
import yaml
from cryptography import x509

from tests.cluster.api_server import ApiServer, Object
from tests.cluster.programs import accepts_connections, free_port, running, until

_CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
)


@contextlib.contextmanager
def serving(
    engines: pathlib.Path, folder: pathlib.Path, resources: Sequence[Object]
) -> Iterator[ApiServer]:
    """Context manager: runs a control plane; yields its API server, for the administrator.

    Args:
        engines: the folder of the programs, see `build_engines.sh`.
        folder: an empty folder for their data and logs.
        resources: definitions of custom resources. They are installed before the controllers
            start, as the garbage collector looks for new ones only twice a minute.
    """
    certificates.write(folder, x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(_etcd(engines, folder))
        api = stack.enter_context(_api_server(engines, folder, store))
        for definition in resources:
            api.install(definition)
        for definition in resources:
            until(functools.partial(_is_served, api, definition), "a resource to be served")
        stack.enter_context(_controllers(engines, folder, api))
        yield api


def _is_served(api: ApiServer, definition: Object) -> bool:
    version, name = definition["apiVersion"], definition["metadata"]["name"]
    existing = api.read(definition["kind"], name, version=version) or {}
    conditions = existing.get("status", {}).get("conditions") or ()
    return any(item["type"] == "Established" and item["status"] == "True" for item in conditions)


@contextlib.contextmanager
def _etcd(engines: pathlib.Path, folder: pathlib.Path) -> Iterator[str]:
    client, peer = free_port(), free_port()
    url, peer_url = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peer}"
    command = [
        str(engines / "etcd" / "server"),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={url}",
        f"--advertise-client-urls={url}",
        f"--listen-peer-urls={peer_url}",
        f"--initial-advertise-peer-urls={peer_url}",
        f"--initial-cluster=default={peer_url}",
        "--unsafe-no-fsync",  # nothing has to survive a crash
    ]
    with running(command, folder / "etcd.log", lambda: accepts_connections(client)):
        yield url


@contextlib.contextmanager
def _api_server(engines: pathlib.Path, folder: pathlib.Path, store: str) -> Iterator[ApiServer]:
    port, token = free_port(), secrets.token_hex()
    (folder / "tokens.csv").write_text(f"{token},administrator,1,system:masters\n")
    api = ApiServer(f"https://127.0.0.1:{port}", str(folder / certificates.AUTHORITY), token)
    key = folder / certificates.SERVER  # a certificate and its key; it signs accounts' tokens, too
    command = [
        str(engines / "kubernetes" / "kube-apiserver"),
        f"--etcd-servers={store}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--endpoint-reconciler-type=none",  # it would refuse the loopback address
        "--service-cluster-ip-range=10.0.0.0/24",
        f"--tls-cert-file={key}",
        f"--tls-private-key-file={key}",
        f"--token-auth-file={folder / 'tokens.csv'}",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--authorization-mode=RBAC",
        # Many installations have it: without a permission of its own nobody can make an object
        # block the deletion of its owner.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement",
    ]
    with running(command, folder / "kube-apiserver.log", api.is_ready):
        yield api


@contextlib.contextmanager
def _controllers(engines: pathlib.Path, folder: pathlib.Path, api: ApiServer) -> Iterator[None]:
    log = folder / "kube-controller-manager.log"
    command = [
        str(engines / "kubernetes" / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig(folder, api)}",
        f"--controllers={','.join(_CONTROLLERS)}",
        # One at a time, so that what is collected second proves that the first was looked at.
        "--concurrent-gc-syncs=1",
        "--leader-elect=false",
        f"--service-account-private-key-file={folder / certificates.SERVER}",
        f"--root-ca-file={api.authority}",
        "--secure-port=0",
    ]

    def has_made_accounts() -> bool:
        return api.read("ServiceAccount", "default", "default") is not None

    with running(command, log, has_made_accounts):
        yield


def kubeconfig(folder: pathlib.Path, api: ApiServer) -> pathlib.Path:
    """Writes the file with which programs sign in as the administrator; returns its path."""
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "tests",
                "cluster": {"server": api.url, "certificate-authority": api.authority},
            }
        ],
        "users": [{"name": "administrator", "user": {"token": api.token}}],
        "contexts": [{"name": "tests", "context": {"cluster": "tests", "user": "administrator"}}],
        "current-context": "tests",
    }
    path = folder / "kubeconfig.yaml"
    path.write_text(yaml.safe_dump(content))
    return path
