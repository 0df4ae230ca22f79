"""What the server refuses, and the line that its user then reads."""

import dataclasses
import uuid

import pytest

from models.errors import UserError
from pipeline.kubeflow.server import service
from pipeline.kubeflow.server.pipelines_api import Order
from pipeline.kubeflow.server.transport import ServerError

CRON = "0 0 3 * * *"


@pytest.fixture
def order(api, workflow, name) -> Order:
    """Uploads the workflow; returns an order for it that the server accepts."""
    experiment = api.create_experiment(name)
    pipeline = api.create_pipeline(name, workflow)
    version = api.upload_version(pipeline.id, "first", workflow)
    return Order(name, experiment.id, pipeline.id, version.id, {})


def refusal(api, function, *arguments):
    """Returns the status and the message, without the address, of a refused request."""
    with pytest.raises(ServerError) as caught:
        function(*arguments)
    message = str(caught.value)
    assert message.startswith(f"{api.host}: ") and "\n" not in message
    return caught.value.status, message.removeprefix(f"{api.host}: ")


def test_the_name_of_an_experiment_is_taken(api, name):
    api.create_experiment(name)
    message = f"Failed to create a new experiment. The name {name} already exists."
    assert refusal(api, api.create_experiment, name) == (
        409,
        f"{message} Please specify a new name",
    )


def test_the_name_of_a_version_is_taken(api, order, workflow):
    assert refusal(api, api.upload_version, order.pipeline, "first", workflow) == (
        409,
        "Failed to create a pipeline version: the name is taken",
    )


@pytest.mark.parametrize(
    ("old", "new", "status", "message"),
    [
        (
            "argoproj.io/v1alpha1",
            "argoproj.io/v2",
            400,
            "Unsupported argo version. Expected: argoproj.io/v1alpha1. Received: argoproj.io/v2",
        ),
        ("kind: Workflow", "kind: Pod", 400, "unknown template format"),
        (
            "template: evaluator",
            "template: gone",
            500,
            "Failed to create a pipeline version: the server's log says why "
            "(kubectl logs -n kubeflow deployment/ml-pipeline)",
        ),
    ],
)
def test_a_wrong_workflow(api, order, workflow, tmp_path, old, new, status, message):
    wrong = tmp_path / "workflow.yaml"
    wrong.write_text(workflow.read_text().replace(old, new))
    upload = api.upload_version
    assert refusal(api, upload, order.pipeline, "wrong", wrong) == (status, message)


def test_an_unknown_pipeline(api, workflow):
    assert refusal(api, api.upload_version, str(uuid.uuid4()), "first", workflow) == (
        400,
        "Failed to create a pipeline version: the server's log says why "
        "(kubectl logs -n kubeflow deployment/ml-pipeline)",
    )


def test_an_unknown_experiment(api, order):
    unknown = str(uuid.uuid4())
    wrong = dataclasses.replace(order, experiment=unknown)
    expected = (404, f"Experiment {unknown} not found")
    assert refusal(api, api.create_run, wrong) == expected
    assert refusal(api, api.create_recurring_run, wrong, CRON, 1, False) == expected


def test_an_unknown_version(api, order):
    unknown = str(uuid.uuid4())
    wrong = dataclasses.replace(order, version=unknown)
    # The short message of the server is a mere "Internal Server Error".
    for status, message in (
        refusal(api, api.create_run, wrong),
        refusal(api, api.create_recurring_run, wrong, CRON, 1, False),
    ):
        assert status == 500
        assert message.endswith(f"ResourceNotFoundError: PipelineVersion {unknown} not found")


def test_an_unknown_parameter(api, order):
    wrong = dataclasses.replace(order, parameters={"other": "1"})
    if not api.takes_parameters:
        pytest.skip("v2beta1 cannot express parameters of an Argo Workflow")
    expected = (400, "Unrecognized input parameter: other")
    assert refusal(api, api.create_run, wrong) == expected
    assert refusal(api, api.create_recurring_run, wrong, CRON, 1, False) == expected


def test_a_wrong_schedule(api, order):
    create = api.create_recurring_run
    status, message = refusal(api, create, order, "0 0 3 * * 7", 1, False)
    assert status == 400 and message.startswith("Schedule cron is not a supported format")
    message = "Max concurrency of a recurring run must be at least 1 and at most 10. Received 11"
    assert refusal(api, create, order, CRON, 11, False) == (400, message)
    assert order.name not in [recurring.name for recurring in api.recurring_runs()]


def test_an_unknown_schedule_or_run(api):
    unknown = str(uuid.uuid4())
    for change in (api.pause, api.resume, api.delete):
        assert refusal(api, change, unknown) == (404, f"Job {unknown} not found")
    assert refusal(api, api.run, unknown) == (404, f"Run {unknown} not found")


def test_an_experiment_that_is_not_to_be_created(api, job, console, now):
    wrong = dataclasses.replace(job, create_experiment=False)
    with pytest.raises(UserError, match=f"^--experiment {job.experiment}: no such experiment"):
        service.submit(api, wrong, console, now)
    assert api.pipeline(job.pipeline) is None
