"""A server of Kubeflow Pipelines: the stand-in, or the real one that a variable names.

`make test-pipelines-server ENDPOINT=http://127.0.0.1:8888` sets it. The user's credentials are in
`KF_PIPELINES_NAMESPACE`, `KF_PIPELINES_TOKEN` and `KF_PIPELINES_COOKIE`, as for
`kubeflow_runner.py`. What the tests create there, they delete.
"""

import datetime
import io
import os
import pathlib
import uuid
from collections.abc import Iterator

import pytest
from pipelines_server import evaluator
from pipelines_server.api_server import ApiServer
from rich.console import Console

from pipeline.kubeflow.compile.workflow_file import Manifest
from pipeline.kubeflow.server.connection import SignIn, connect
from pipeline.kubeflow.server.pipelines_api import PipelinesApi
from pipeline.kubeflow.server.service import Job
from pipeline.kubeflow.server.transport import ServerError

ENDPOINT = os.environ.get("PIPELINES_SERVER_UNDER_TEST")


@pytest.fixture(scope="session")
def sign_in() -> Iterator[SignIn]:
    """Returns the address of the server, and the user's credentials."""
    if ENDPOINT:
        namespace, token, cookie = (
            os.environ.get(f"KF_PIPELINES_{key}") for key in ("NAMESPACE", "TOKEN", "COOKIE")
        )
        yield SignIn(ENDPOINT, namespace, token, cookie=cookie)
        return
    with ApiServer(evaluator.execute, serves=("v1beta1", "v2beta1")) as server:
        yield SignIn(server.url)


@pytest.fixture(params=["v1beta1", "v2beta1"])
def api(request, sign_in) -> PipelinesApi:
    """Returns one generation of the API."""
    try:
        return connect(sign_in, request.param)
    except ServerError as error:
        if error.status == 404:
            pytest.skip(str(error))
        raise


@pytest.fixture(scope="session")
def workflow(tmp_path_factory) -> pathlib.Path:
    """Compiles a workflow with one step, which needs only the image of Python."""
    return evaluator.compile_to(tmp_path_factory.mktemp("compiled") / "workflow.yaml")


@pytest.fixture
def name(sign_in) -> Iterator[str]:
    """Returns a name that no experiment, pipeline or schedule has, and deletes those with it."""
    name = f"test-{uuid.uuid4().hex[:8]}"
    yield name
    if ENDPOINT:
        _delete(connect(sign_in, "v2beta1"), name)


@pytest.fixture
def job(workflow, name) -> Job:
    """Returns an order for the workflow."""
    return Job(name, Manifest.load(workflow), name=name, experiment=name, create_experiment=True)


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


@pytest.fixture
def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _delete(api, name: str) -> None:
    for schedule in api.recurring_runs():
        if schedule.name.startswith(name):
            api.delete(schedule.id)
    for experiment in api.experiments():
        if experiment.name.startswith(name):
            for run in api._all("runs", "runs", experiment_id=experiment.id):
                api._call("DELETE", f"runs/{run['run_id']}")
            api._call("DELETE", f"experiments/{experiment.id}")
    for pipeline in api._all("pipelines", "pipelines", **api._mine):
        if pipeline["display_name"].startswith(name):
            api._call("DELETE", f"pipelines/{pipeline['pipeline_id']}", {"cascade": "true"})
