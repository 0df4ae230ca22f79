"""Kubeflow's training operator, outside the cluster that it works for."""

import contextlib
import os
import pathlib
import shutil
import urllib.error
import urllib.request
from base64 import b64decode
from collections.abc import Iterator

import yaml

from tests.cluster import control_plane
from tests.cluster.api_server import ApiServer, Object
from tests.cluster.programs import free_port, running

NAMESPACE = "kubeflow"
SERVICE = "training-operator"
SECRET = "training-operator-webhook-cert"
CERTIFICATES = pathlib.Path("/tmp/k8s-webhook-server/serving-certs")
"""The directory in which the operator expects its secret to be mounted (pkg/cert/cert.go)."""


@contextlib.contextmanager
def operating(engines: pathlib.Path, folder: pathlib.Path, api: ApiServer) -> Iterator[None]:
    """Context manager: runs the operator for TFJobs, with its webhook that checks them.

    Args:
        engines: the folder of the programs, see `build_engines.sh`.
        folder: a folder for its log.
        api: the API server, for the administrator.
    """
    module, webhook_port, health_port = engines / "training_operator", free_port(), free_port()
    webhooks = _install(module / "source" / "manifests" / "base" / "webhook", api, webhook_port)
    command = [
        str(module / "training-operator.v1"),
        "--enable-scheme=tfjob",
        f"--webhook-server-port={webhook_port}",
        f"--health-probe-bind-address=127.0.0.1:{health_port}",
        "--metrics-bind-address=0",
    ]
    environment = {**os.environ, "KUBECONFIG": str(control_plane.kubeconfig(folder, api))}
    environment |= {"MY_POD_NAMESPACE": NAMESPACE, "TMPDIR": "/tmp"}

    def is_ready() -> bool:
        _mount_certificates(api)
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            return urllib.request.urlopen(f"http://127.0.0.1:{health_port}/readyz").status == 200
        return False

    shutil.rmtree(CERTIFICATES, ignore_errors=True)
    try:
        with running(command, folder / "training-operator.log", is_ready, environment):
            yield
    finally:
        api.delete(webhooks)  # without the operator it would refuse every TFJob
        shutil.rmtree(CERTIFICATES, ignore_errors=True)


def _install(manifests: pathlib.Path, api: ApiServer, port: int) -> Object:
    """Creates what the operator's manifests contain besides its deployment; returns the webhook."""
    _create(api, "Namespace", NAMESPACE)
    _create(api, "Secret", SECRET, NAMESPACE)
    # The operator listens on this machine.
    service = {"type": "ExternalName", "externalName": "localhost"}
    _create(api, "Service", SERVICE, NAMESPACE, spec=service)
    webhooks = yaml.safe_load((manifests / "manifests.yaml").read_text())
    webhooks["metadata"]["name"] = "validator.training-operator.kubeflow.org"
    webhooks["webhooks"] = [
        webhook
        for webhook in webhooks["webhooks"]
        if webhook["name"].startswith("validator.tfjob.")
    ]
    for webhook in webhooks["webhooks"]:
        webhook["clientConfig"]["service"] |= {
            "name": SERVICE,
            "namespace": NAMESPACE,
            "port": port,
        }
    return api.create(webhooks)


def _create(api: ApiServer, kind: str, name: str, namespace: str = "", **content) -> None:
    manifest = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **content}
    api.create(manifest, namespace)


def _mount_certificates(api: ApiServer) -> None:
    """Writes the secret's files, as a node does for the operator's pod."""
    secret = api.read("Secret", SECRET, NAMESPACE) or {}
    if CERTIFICATES.exists() or "tls.crt" not in secret.get("data", {}):
        return
    partial = CERTIFICATES.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for name, content in secret["data"].items():
        (partial / name).write_bytes(b64decode(content))
    partial.rename(CERTIFICATES)
