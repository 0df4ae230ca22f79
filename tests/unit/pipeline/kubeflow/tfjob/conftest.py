"""Fixtures of a pod in a cluster: the API that it signs in to, and the TFJob that it creates."""

import contextlib
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kubernetes_server.api import RUN, STEP_POD, Api
from kubernetes_server.service_account import ServiceAccount

from pipeline.kubeflow.tfjob import tfjob_client, tfjob_manifest
from tests.helpers import cluster_config

KING_COUNTY = pathlib.Path("data/king_county/pipeline.yaml")
STEP = {
    "container": {
        "image": "registry.example.com/king-county:1.0",
        "env": [{"name": "PYTHONPATH", "value": "."}],
    }
}


@pytest.fixture
def account(tmp_path, monkeypatch) -> ServiceAccount:
    """Writes the service account of the pod that this process plays."""
    folder = tmp_path / "account"
    folder.mkdir()
    account = ServiceAccount(folder)
    monkeypatch.setattr(tfjob_client, "SERVICE_ACCOUNT", account.pod)
    return account


@pytest.fixture
def serve(account, tmp_path, monkeypatch) -> Iterator[Callable[..., Api]]:
    """Starts an API whose address this process has in its variables, as in every pod.

    By default jobs run forever, without pods.
    """
    with contextlib.ExitStack() as stack:

        def start(**settings: Any) -> Api:
            settings = {"verdict": "Running", **settings}
            api = stack.enter_context(Api(tmp_path, account=account, **settings))
            monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(api.port))
            monkeypatch.setenv("POD_NAME", STEP_POD["name"])
            return api

        yield start


@pytest.fixture
def compiled() -> dict[str, Any]:
    """Returns a compiled TFJob, as the Trainer's step gets it."""
    asked = ["train.cluster={workers: 1}", "kubeflow.tfjob={}"]
    return cluster_config.tfjob(KING_COUNTY, asked, STEP)


@pytest.fixture
def job(compiled) -> dict[str, Any]:
    """Returns a TFJob as the step creates it."""
    return tfjob_manifest.filled(
        compiled, RUN, "/training/0123456789abcdef", "/training/problem.json"
    )
