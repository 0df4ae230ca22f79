"""Tests that the fake server works with Kubeflow's own client and refuses what the API lacks."""

import json
import urllib.error
import urllib.parse
import urllib.request
import warnings

import pytest
from pipelines_server import evaluator, robfig
from pipelines_server.api_server import START, ApiServer
from pipelines_server.cluster import Node, Result

V1, V2 = "/apis/v1beta1", "/apis/v2beta1"


@pytest.fixture(scope="session")
def workflow(tmp_path_factory):
    """Compiles a workflow with one step."""
    return evaluator.compile_to(tmp_path_factory.mktemp("compiled") / "workflow.yaml")


@pytest.fixture
def server():
    with ApiServer(serves=("v1beta1", "v2beta1")) as server:
        yield server


def ask(server, method, path, body=None, kind="application/json"):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, {"Content-Type": kind}, method=method)
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_kubeflows_client_works_against_the_fake(workflow, monkeypatch, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import kfp
    # The client reads, and in a pod writes, a file of the user.
    monkeypatch.setattr(kfp.Client, "LOCAL_KFP_CONTEXT", str(tmp_path / "context.json"))
    result = Result(nodes=[Node("evaluator")], metrics={"blessed": 0.0})
    with ApiServer(lambda text, parameters: result) as server:
        client = kfp.Client(host=server.url)
        experiment = client.create_experiment("houses")
        pipeline = client.upload_pipeline(str(workflow), "houses")
        version = client.upload_pipeline_version(str(workflow), "second", pipeline.id)
        assert client.get_pipeline_id("houses") == pipeline.id
        names = [entry.name for entry in client.list_pipeline_versions(pipeline.id).versions]
        assert names == ["houses", "second"]
        run = client.run_pipeline(experiment.id, "a run", params={"rmse": 1}, version_id=version.id)
        detail = client.wait_for_run_completion(run.id, timeout=30)
        assert (detail.run.status, detail.run.metrics[0].number_value) == ("Succeeded", 0.0)
        nodes = json.loads(detail.pipeline_runtime.workflow_manifest)["status"]["nodes"]
        kinds = {entry["displayName"]: entry["type"] for entry in nodes.values()}
        assert kinds == {f"houses-{run.id[:5]}": "DAG", "evaluator": "Pod"}
        job = client.create_recurring_run(
            experiment.id, "nightly", cron_expression="0 0 3 * * *", version_id=version.id
        )
        client.disable_job(job.id)
        assert [entry.enabled for entry in client.list_recurring_runs().jobs] == [None]
        client.delete_job(job.id)
        assert client.list_recurring_runs().jobs is None
        by_file = client.run_pipeline(experiment.id, "b", pipeline_package_path=str(workflow))
        assert client.get_run(by_file.id).run.name == "b"


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "message"),
    [
        ("GET", f"{V1}/nothing", None, 404, "Not Found"),
        ("PUT", f"{V1}/experiments", {}, 404, "Not Found"),
        ("GET", f"{V1}/experiments?pagesize=1", None, 400, "unknown query parameter 'pagesize'"),
        ("GET", f"{V1}/runs/none", None, 404, "Run none not found"),
        ("POST", f"{V1}/experiments", {"nam": "x"}, 400, "body: unknown field 'nam'"),
        ("POST", f"{V1}/experiments", {"name": 1}, 400, "body.name: 1 is no str"),
        ("POST", f"{V1}/experiments", {"name": "default"}, 409, "The name default already exists."),
        ("POST", f"{V1}/experiments", {}, 500, "Experiment name cannot be empty"),
        ("POST", f"{V1}/runs", {"name": "x"}, 500, "with an empty pipeline spec manifest"),
        (
            "POST",
            f"{V1}/jobs",
            {"resource_references": [{"key": {"type": "EXPERIMENTS", "id": "x"}}]},
            400,
            "body.resource_references[0].key.type: 'EXPERIMENTS' is none of",
        ),
        (
            "POST",
            f"{V1}/jobs",
            {"trigger": {"cron_schedule": {"cron": "x", "start_time": "soon"}}},
            400,
            "body.trigger.cron_schedule.start_time: 'soon' is no time",
        ),
        ("POST", f"{V1}/jobs", {"max_concurrency": "many"}, 400, "body.max_concurrency: 'many'"),
        ("POST", f"{V1}/jobs", {"no_catchup": "yes"}, 400, "body.no_catchup: 'yes' is no bool"),
        ("POST", f"{V1}/pipelines/upload?name=x", {}, 400, "content type 'application/json', not"),
        ("POST", f"{V1}/runs/x/retry", None, 500, "is not served here"),
        ("POST", f"{V2}/experiments", {"name": "x"}, 400, "body: unknown field 'name'"),
        ("POST", f"{V2}/recurringruns", {"mode": "ENABLED"}, 400, "body.mode: 'ENABLED' is none"),
        ("DELETE", f"{V2}/recurringruns/x", None, 404, "Job x not found"),
        (
            "GET",
            f"{V2}/pipelines?filter=" + urllib.parse.quote('{"predicates":[{"op":"EQUALS"}]}'),
            None,
            400,
            "Invalid filter",
        ),
    ],
)
def test_unknown_requests_are_refused(server, method, path, body, status, message):
    code, answer = ask(server, method, path, body)
    assert code == status
    assert message in (answer.get("message") or answer["error_message"])


def order(server, **changes):
    experiment, *_ = server.cluster.experiments
    pipeline = server.cluster.create_pipeline("p")
    text = "{apiVersion: argoproj.io/v1alpha1, kind: Workflow, spec: {}}"
    version = server.cluster.create_version(pipeline.id, "v", text)
    keys = [("EXPERIMENT", experiment, "OWNER"), ("PIPELINE_VERSION", version.id, "CREATOR")]
    return {
        "name": "x",
        "max_concurrency": "1",
        "enabled": True,
        "trigger": {"cron_schedule": {"cron": "0 0 3 * * *"}},
        "resource_references": [
            {"key": {"type": kind, "id": entry}, "relationship": how} for kind, entry, how in keys
        ],
        **changes,
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_concurrency": "11"}, "Max concurrency of a recurring run must be at least 1"),
        ({"trigger": {"cron_schedule": {"cron": "0 3 * *"}}}, "Schedule cron is not a supported"),
        ({"trigger": {"cron_schedule": {"cron": "0 0 3 * * 7"}}}, "Schedule cron is not a"),
        ({"trigger": {"cron_schedule": {"cron": "0 0 3 * * fri-mon"}}}, "Schedule cron is not a"),
    ],
)
def test_invalid_schedules_are_refused(server, changes, message):
    code, answer = ask(server, "POST", f"{V1}/jobs", order(server, **changes))
    assert (code, message in answer["message"]) == (400, True)


@pytest.mark.parametrize(
    ("serves", "status", "message"),
    [
        (("v1beta1",), 400, "Recurring run name is empty."),
        (("v1beta1", "v2beta1"), 500, "Recurring run name cannot be empty"),
    ],
)
def test_a_schedule_needs_a_name(serves, status, message):
    with ApiServer(serves=serves) as server:
        code, answer = ask(server, "POST", f"{V1}/jobs", order(server, name=""))
    assert (code, message in answer["message"]) == (status, True)


def test_a_valid_schedule_is_accepted(server):
    assert ask(server, "POST", f"{V1}/jobs", order(server))[0] == 200
    assert len(server.tick(START.replace(day=27))) == 2


def test_scheduled_runs_have_the_names_of_their_workflows(server):
    assert ask(server, "POST", f"{V1}/jobs", order(server, name="Every night, 3h"))[0] == 200
    (made,) = server.cluster.jobs.values()
    names = [entry.name for entry in server.tick(START.replace(day=27))]
    assert [name.rpartition("-")[0] for name in names] == [
        f"everynight3h{made.id[:5]}-{number}" for number in (1, 2)
    ]
    workflows = [entry.workflow["metadata"]["name"] for entry in server.cluster.runs.values()]
    assert workflows == names


def test_a_page_token_keeps_the_order_and_the_filter(server):
    for name in "abc":
        server.cluster.create_experiment(name)
    path = f"{V2}/experiments?page_size=2&sort_by=name%20desc"
    _, first = ask(server, "GET", path)
    token = urllib.parse.quote(first["next_page_token"])
    _, second = ask(server, "GET", f"{V2}/experiments?page_size=2&page_token={token}")
    names = [entry["display_name"] for page in (first, second) for entry in page["experiments"]]
    assert names == ["c", "b", "a", "Default"]
    for other, message in [
        ("&sort_by=name", "page token does not match the supplied sort by"),
        ("x", "Invalid package token"),
    ]:
        code, answer = ask(server, "GET", f"{V2}/experiments?page_token={token}{other}")
        assert (code, message in answer["message"]) == (400, True)


@pytest.mark.parametrize(
    ("serves", "detail"),
    [
        (
            ("v1beta1",),
            {"@type": "type.googleapis.com/api.Error", "error_message": "Run no not found."},
        ),
        (
            ("v1beta1", "v2beta1"),
            {"@type": "type.googleapis.com/google.rpc.Status", "message": "Run no not found"},
        ),
    ],
)
def test_each_generation_has_its_form_of_errors(serves, detail):
    with ApiServer(serves=serves) as server:
        code, answer = ask(server, "GET", f"{V1}/runs/no")
    assert (code, answer["code"], "error" in answer) == (404, 5, len(serves) == 1)
    assert detail.items() <= answer["details"][0].items()


def test_five_fields_are_read_as_seconds_to_month():
    time = robfig.Schedule("0 3 * * *").next(START)
    assert time == START.replace(minute=3)


def test_the_day_fields_combine_as_in_robfig_cron():
    # As in robfig/cron: with a star both days must match, without one either is enough.
    both, either = robfig.Schedule("0 0 0 */2 * 1"), robfig.Schedule("0 0 0 1-31/2 * 1")
    assert both.next(START).day == 7  # December
    assert either.next(START).day == 27  # November
