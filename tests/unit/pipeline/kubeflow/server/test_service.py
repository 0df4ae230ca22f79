"""Tests of `submit` and `schedule` against a real server, through either API."""

import datetime
import json
import re
import threading

import kfp_server_api
import pytest
from pipelines_server import evaluator
from pipelines_server.api_server import START, ApiServer
from pipelines_server.cluster import Node, Result

from models.errors import FAILED, INTERRUPTED, NOT_BLESSED, OK, UserError
from pipeline.kubeflow.compile.workflow_file import Manifest
from pipeline.kubeflow.server import cron, run_display, service
from pipeline.kubeflow.server.connection import SignIn, connect
from pipeline.kubeflow.server.run_steps import folded
from pipeline.kubeflow.server.transport import ServerError

SIX = "0 0 3 * * *"
STEPS = {"evaluator"}
DAY = datetime.timedelta(days=1)


@pytest.fixture(params=["v1beta1", "v2beta1"])
def server(request):
    with ApiServer(serves=(request.param,)) as server:
        yield server


@pytest.fixture
def v1beta1():
    with ApiServer(serves=("v1beta1",)) as server:
        yield server


def job(workflow, *params, **options):
    values = dict(entry.split("=") for entry in params)
    return service.Job("houses", Manifest.load(workflow), values, **options)


def submit(server, job, console, **options):
    api = connect(SignIn(host=server.url))
    return service.submit(api, job, console, START, poll=0.01, **options)


def schedule(server, job, console, **options):
    service.schedule(connect(SignIn(host=server.url)), job, console, START, SIX, **options)


def said(console):
    return console.file.getvalue()


@pytest.mark.parametrize(
    ("rmse", "code", "last"),
    [
        ("100000", OK, "Blessed; no step reported whether the model was pushed; see "),
        ("120000", NOT_BLESSED, "Not blessed, so not pushed; see "),
        ("dear", FAILED, "Its log: "),
    ],
)
def test_an_executed_workflow_reports_its_verdict(v1beta1, workflow, console, rmse, code, last):
    v1beta1.execute = evaluator.execute
    assert submit(v1beta1, job(workflow, f"rmse={rmse}"), console, wait=True) == code
    lines = said(console).splitlines()
    (run,) = v1beta1.cluster.runs.values()
    assert lines[0] == "experiment  Default"
    assert re.fullmatch(r"version     20261125-090000-\w{10} of houses", lines[1])
    page = f"{v1beta1.url}/#/runs/details/{run.id}"
    assert lines[2] == f"run         houses 2026-11-25 09:00:00, {page}"
    assert lines[-1].startswith(last)
    if code == FAILED:
        assert lines[3].startswith("evaluator            failed")
        message = "could not convert string to float: 'dear'"
        assert lines[-2] == f"evaluator failed: Error (exit code 1): ValueError: {message}"
    else:
        assert lines[3].startswith("evaluator            done ")
        assert lines[4:6] == ["", f"rmse {rmse}"]


@pytest.mark.parametrize(("rmse", "code"), [("120000", OK), ("dear", FAILED)])
def test_v2beta1_reports_no_verdict(workflow, console, rmse, code):
    with ApiServer(evaluator.execute, serves=("v2beta1",)) as server:
        assert submit(server, job(workflow, f"rmse={rmse}"), console, wait=True) == code
        (run,) = server.cluster.runs.values()
        # The values can only be in the workflow itself.
        assert run.parameters == {} and run.result.nodes[0].name == "evaluator"
        if code == OK:
            assert run.result.metrics["rmse"] == 120000
            page = f"{server.url}/#/runs/details/{run.id}"
            assert said(console).endswith(
                f"Succeeded; this API does not report whether the model was blessed; see {page}\n"
            )


def test_an_unchanged_workflow_is_uploaded_once(server, workflow, console):
    seen = []

    def execute(text, parameters):
        seen.append(parameters)
        return Result()

    server.execute = execute
    for params in ([], [], ["rmse=1"]):
        assert submit(server, job(workflow, *params), console) == OK
    server.cluster.join()
    assert [entry["rmse"] for entry in seen] == ["100000", "100000", "1"]
    assert len(server.cluster.pipelines) == 1
    names = [entry.name for entry in server.cluster.versions.values()]
    # v1beta1 creates the first version with the pipeline; v2beta1 needs one for other values.
    assert len(names) == 2 and all(name == "houses" or "-" in name for name in names)


def test_a_version_is_found_on_any_page(server, workflow, console):
    assert submit(server, job(workflow), console) == OK
    (pipeline,) = server.cluster.pipelines
    text = workflow.read_text()
    for index in range(150):
        server.cluster.create_version(pipeline, f"another {index}", text)
    before = len(server.cluster.versions)
    assert submit(server, job(workflow), console) == OK
    assert len(server.cluster.versions) == before


def test_an_experiment_must_exist_or_be_created(server, workflow, console):
    with pytest.raises(UserError) as caught:
        submit(server, job(workflow, experiment="default"), console)
    assert str(caught.value) == (
        "--experiment default: no such experiment; did you mean Default? (known: Default); "
        "--create-experiment creates it"
    )
    assert not server.cluster.pipelines
    wanted = job(workflow, experiment="houses", create_experiment=True)
    assert submit(server, wanted, console) == submit(server, wanted, console) == OK
    assert [entry.name for entry in server.cluster.experiments.values()] == ["Default", "houses"]


def test_an_experiment_in_other_letters_is_named(server, workflow, console):
    wanted = job(workflow, experiment="default", create_experiment=True)
    with pytest.raises(UserError) as caught:
        submit(server, wanted, console)
    assert str(caught.value) == (
        "--experiment default: the server has Default and takes both names for the same; give "
        "--experiment 'Default'"
    )


def test_a_name_taken_in_the_meantime_is_refused(server, workflow, console):
    wanted = job(workflow)
    assert submit(server, wanted, console) == OK
    (pipeline,) = server.cluster.pipelines
    api = connect(SignIn(host=server.url))
    unique = f"20261125-090000-{wanted.manifest.digest}"
    with pytest.raises(ServerError) as caught:
        api.upload_version(pipeline, unique, workflow)
    assert caught.value.status == (409 if server.is_2x else 500)
    # In 2.x the server does not send the reason.
    reason = f"The name {unique} already exist. Please specify a new name."
    reason = "Failed to create a pipeline version: the name is taken" if server.is_2x else reason
    assert str(caught.value).endswith(f": {reason}") and "\n" not in str(caught.value)


def test_a_pipeline_has_the_name_that_the_server_knows(server, workflow, console):
    # MySQL does not tell capitals from small letters, and neither do most servers.
    server.cluster.create_pipeline("Houses")
    assert submit(server, job(workflow), console) == OK
    assert said(console).splitlines()[1].endswith(" of Houses")
    assert len(server.cluster.pipelines) == 1


def test_a_schedule_starts_runs(server, workflow, console):
    server.execute = evaluator.execute
    schedule(server, job(workflow, "rmse=90000"), console)
    lines = said(console).splitlines()
    (made,) = server.cluster.jobs.values()
    assert lines[2] == f"schedule    houses, {server.url}/#/recurringrun/details/{made.id}"
    assert lines[3:] == [
        "cron        0 0 3 * * * (seconds first)",
        "next        2026-11-26 03:00:00 UTC",
        "            2026-11-27 03:00:00 UTC",
        "            2026-11-28 03:00:00 UTC",
    ]
    assert (made.cron, made.max_concurrency, made.no_catchup) == (SIX, 1, True)
    assert server.tick(START + datetime.timedelta(hours=17)) == []
    runs = server.tick(START + 3 * DAY)
    assert [entry.scheduled for entry in runs] == cron.firing_times(SIX, START)
    assert {entry.result.metrics["rmse"] for entry in runs} == {90000}
    api = connect(SignIn(host=server.url))
    run = run_display.follow(api, runs[0].id, STEPS, console, 0.01, metrics={"blessed"})
    assert run.state == "done"
    assert (run.metrics or {}).get("blessed") == (1 if api.takes_parameters else None)


def test_steps_run_as_the_configured_service_account(server, workflow, console):
    wanted = job(workflow, service_account="pricing")
    submit(server, wanted, console)
    schedule(server, wanted, console)
    submit(server, job(workflow), console)
    server.tick(START + DAY)
    accounts = [
        entry.workflow["spec"]["serviceAccountName"] for entry in server.cluster.runs.values()
    ]
    assert accounts == ["pricing", "pipeline-runner", "pricing"]


def test_catchup_makes_up_for_missed_runs(server, workflow, console):
    schedule(server, job(workflow, name="latest only"), console)
    schedule(server, job(workflow, name="every one"), console, catchup=True, max_concurrency=2)
    api = connect(SignIn(host=server.url))
    for name in ("latest only", "every one"):
        api.pause(service.find_schedule(api, name).id)
    assert server.tick(START + 3 * DAY) == []
    for name in ("latest only", "every one"):
        api.resume(service.find_schedule(api, name).id)
    runs = server.tick(START + 3 * DAY)
    jobs = {entry.id: entry.name for entry in server.cluster.jobs.values()}
    assert sorted((jobs[entry.job], entry.scheduled.day) for entry in runs) == [
        ("every one", 26),
        ("every one", 27),
        ("every one", 28),
        ("latest only", 28),
    ]


def test_schedules_are_listed_and_removed(server, workflow, console):
    api = connect(SignIn(host=server.url))
    service.list_schedules(api, console, START)
    assert said(console) == "no schedules\n"
    schedule(server, job(workflow), console)
    entry = service.find_schedule(api, "houses")
    api.pause(entry.id)
    schedule(server, job(workflow, name="other"), console)
    service.list_schedules(api, console, START, zone="Asia/Tokyo")
    rows = [re.split(r"\s{2,}", line.strip()) for line in said(console).splitlines()]
    assert ["houses", entry.id, SIX, "no", "paused"] in rows
    other = service.find_schedule(api, "other").id
    assert ["other", other, SIX, "yes", "2026-11-26 03:00:00 JST"] in rows
    api.delete(entry.id)
    assert list(server.cluster.jobs) == [other]
    with pytest.raises(ServerError) as caught:
        api.delete(entry.id)
    assert caught.value.status == 404


def test_schedules_with_an_interval_are_listed(server, workflow, console):
    schedule(server, job(workflow), console)
    (made,) = server.cluster.jobs.values()
    made.cron, made.every = "", 3600
    service.list_schedules(connect(SignIn(host=server.url)), console, START)
    assert re.search(r"houses +\S+ +every 3600 s +yes +- *\n", said(console))


def test_a_schedule_is_found_by_name_or_id(server, workflow, console):
    api = connect(SignIn(host=server.url))
    with pytest.raises(UserError, match=r"^houses: no such schedule \(there are none\)$"):
        service.find_schedule(api, "houses")
    schedule(server, job(workflow), console)
    with pytest.raises(UserError) as caught:
        schedule(server, job(workflow), console)
    (made,) = server.cluster.jobs.values()
    assert str(caught.value) == (
        f"--name houses: is already a schedule ({made.id}); give another name, or first run "
        "`kubeflow_runner.py schedules delete houses`"
    )
    with pytest.raises(UserError, match=r"did you mean houses\? \(known: houses\)"):
        service.find_schedule(api, "house")
    # Someone else may have created one with the same name.
    twin = server.cluster.create_job(
        "houses", made.experiment, made.version, {}, cron=SIX, enabled=True, max_concurrency=1
    )
    with pytest.raises(UserError) as caught:
        service.find_schedule(api, "houses")
    ids = f"{made.id}, {twin.id}"
    assert str(caught.value) == f"houses: the name of several schedules; give an id: {ids}"
    assert service.find_schedule(api, twin.id).id == twin.id


def test_a_refused_workflow_is_one_line(server, workflow, tmp_path, console):
    path = tmp_path / "workflow.yaml"
    path.write_text(workflow.read_text().replace("argoproj.io/v1alpha1", "argoproj.io/v1"))
    with pytest.raises(ServerError) as caught:
        submit(server, job(path), console)
    assert str(caught.value).startswith(f"{server.url}: ")
    assert str(caught.value).endswith(
        ": Unsupported argo version. Expected: argoproj.io/v1alpha1. Received: argoproj.io/v1"
    )


@pytest.mark.parametrize(
    ("serves", "status", "reason"),
    [
        (("v1beta1",), 500, r".* template name 'gone' undefined"),
        # In 2.x only the server's log has the reason of Argo.
        (
            ("v1beta1", "v2beta1"),
            500,
            r"Failed to create a pipeline and a pipeline version: the server's log says why "
            r"\(kubectl logs -n kubeflow deployment/ml-pipeline\)",
        ),
        (("v2beta1",), 500, r"Failed to create a pipeline version: the server's log says why .*"),
    ],
)
def test_a_workflow_that_argo_refuses_is_one_line(
    serves, status, reason, workflow, tmp_path, console
):
    path = tmp_path / "workflow.yaml"
    path.write_text(workflow.read_text().replace("template: evaluator", "template: gone"))
    with ApiServer(serves=serves) as server, pytest.raises(ServerError) as caught:
        submit(server, job(path), console)
    assert caught.value.status == status
    assert re.search(f": {reason}$", str(caught.value)) and "\n" not in str(caught.value)


@pytest.mark.parametrize(("serves", "status"), [(("v1beta1",), 500), (("v1beta1", "v2beta1"), 400)])
def test_an_unknown_parameter_is_refused_by_the_server(serves, status, workflow, console):
    wanted = job(workflow, "other=1")
    with ApiServer(serves=serves) as server, pytest.raises(ServerError) as caught:
        submit(server, wanted, console)
    assert caught.value.status == status
    # In 1.x the reason is hidden behind an "Internal Server Error".
    assert str(caught.value).endswith("Unrecognized input parameter: other")


def trained(phase, message="", failed_tries=(), then=()):
    """Returns a run of the retried workflow that has reached the Trainer."""
    nodes = [Node("transform"), Node("trainer", phase, message, 60, failed_tries), *then]
    return Result("Failed" if phase == "Failed" else "Succeeded", nodes, {"blessed": 1.0})


@pytest.fixture(params=["v1beta1", "v2beta1"])
def retried(request, tmp_path):
    """Starts a server, with a workflow of three steps that may be retried."""
    retry = {"limit": 2, "retryPolicy": "Always"}
    steps = ["transform", "trainer", "evaluator"]
    tasks = [
        {"name": name, "template": name, "dependencies": steps[:index][-1:]}
        for index, name in enumerate(steps)
    ]
    templates: list[dict] = [
        {"name": name, "container": {"image": "a:1"}, "retryStrategy": retry} for name in steps
    ]
    templates.append({"name": "all", "dag": {"tasks": tasks}})
    content = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"generateName": "houses-"},
        "spec": {"entrypoint": "all", "templates": templates},
    }
    path = tmp_path / "retried.yaml"
    path.write_text(json.dumps(content))
    with ApiServer(serves=(request.param,)) as server:
        yield server, path


def lines_of_steps(console):
    lines = [line.split() for line in said(console).splitlines()]
    return [words for words in lines if words and words[0] in ("transform", "trainer", "evaluator")]


def test_a_step_that_recovered_is_done(retried, console):
    server, path = retried
    message = "OOMKilled (exit code 137)"
    server.execute = lambda *_: trained("Succeeded", "", [message], [Node("evaluator")])
    assert submit(server, job(path), console, wait=True) == OK
    assert lines_of_steps(console) == [
        ["transform", "done", "1", "s"],
        ["trainer", "done", "120", "s", "(2", "tries)"],
        ["evaluator", "done", "1", "s"],
    ]
    assert message not in said(console) and "failed" not in said(console)


def test_a_failure_is_explained_by_the_last_try(retried, console):
    server, path = retried
    server.execute = lambda *_: trained("Failed", "no such layer", ["OOMKilled", "Evicted"])
    assert submit(server, job(path), console, wait=True) == FAILED
    steps = lines_of_steps(console)
    assert ["transform", "done", "1", "s"] in steps
    assert ["trainer", "failed", "180", "s", "(3", "tries)"] in steps
    assert ["evaluator", "skipped", "0", "s"] in steps
    # Tasks have no messages in v2beta1.
    reason = "the server does not say why" if server.is_2x else "no such layer"
    assert f"\ntrainer failed: {reason} (try 3 of 3)\n" in said(console)


def test_a_step_between_tries_has_not_ended(retried, console):
    server, path = retried
    api = connect(SignIn(host=server.url))
    server.execute = lambda *_: Result("Running", [Node("trainer", "Running", "", 1, ["Evicted"])])
    order = service._order(api, job(path), "a run", console, START)
    run_id = api.create_run(order)
    server.cluster.join()
    (step,) = folded(api.run(run_id).steps, {"trainer"})
    assert (step.name, step.state, step.tries, step.finished) == ("trainer", "running", 2, None)


def test_following_survives_a_short_outage(server, workflow, console):
    go_on = threading.Event()
    server.execute = lambda text, parameters: go_on.wait(20) and Result(nodes=[Node("evaluator")])
    api = connect(SignIn(host=server.url))
    run_id = start(api, workflow, console)
    waits = []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 1:
            server.fail_next = [(503, "no upstream"), (502, ""), (504, "")]
        if len(waits) == 5:
            go_on.set()
            server.cluster.join()

    run = run_display.follow(api, run_id, STEPS, console, 7, metrics=(), sleep=sleep)
    assert run.state == "done" and waits == [7] * 5
    assert said(console).splitlines()[-1].split() == ["evaluator", "done", "1", "s"]


def test_following_ends_after_a_long_outage(server, workflow, console):
    server.execute = lambda text, parameters: Result(phase="Running")
    api = connect(SignIn(host=server.url))
    run_id = start(api, workflow, console)
    server.fail_next = [(503, "no upstream")] * 20
    with pytest.raises(ServerError, match="no upstream"):
        run_display.follow(api, run_id, STEPS, console, 0, metrics=())
    assert len(server.fail_next) == 10
    server.fail_next = [(400, "no")]
    with pytest.raises(ServerError, match=": no$"):
        run_display.follow(api, run_id, STEPS, console, 0, metrics=())


def test_the_verdict_may_arrive_after_the_end(v1beta1, workflow, console):
    api = connect(SignIn(host=v1beta1.url))
    run_id = start(api, workflow, console)
    v1beta1.cluster.join()
    polls = []

    def sleep(seconds):
        polls.append(seconds)
        if len(polls) == 3:
            v1beta1.cluster.runs[run_id].result.metrics = {"blessed": 0.0}

    run = run_display.follow(api, run_id, STEPS, console, 1, metrics={"blessed"}, sleep=sleep)
    assert run.metrics == {"blessed": 0.0} and len(polls) == 3


def test_a_verdict_that_the_server_was_not_told_is_read(workflow, console, monkeypatch):
    # From 2.2 on, Kubeflow's persistence agent does not find the metrics of the steps.
    result = Result(nodes=[Node("evaluator")], metrics={"blessed": 0.0})
    with ApiServer(lambda *_: result, serves=("v1beta1", "v2beta1")) as server:
        assert submit(server, job(workflow), console, wait=True) == NOT_BLESSED
        (run_id,) = server.cluster.runs
        api = connect(SignIn(host=server.url))

        def failing(status):
            def read_artifact(*_):
                raise ServerError("", status)

            return read_artifact

        # The artifact may be gone.
        monkeypatch.setattr(kfp_server_api.RunServiceApi, "read_artifact", failing(404))
        assert api.run(run_id).metrics == {}
        monkeypatch.setattr(kfp_server_api.RunServiceApi, "read_artifact", failing(503))
        with pytest.raises(ServerError):
            api.run(run_id)


def test_the_steps_may_arrive_after_the_end(workflow, console):
    # In v2beta1 the server stores the state of a run before those of its steps.
    early = Result("Failed", [Node("evaluator", "Running")])
    with ApiServer(lambda *_: early, serves=("v2beta1",)) as server:
        api = connect(SignIn(host=server.url))
        run_id = start(api, workflow, console)
        server.cluster.join()

        def sleep(seconds):
            server.cluster.runs[run_id].result.nodes = [Node("evaluator", "Failed")]

        run = run_display.follow(api, run_id, STEPS, console, 1, metrics=(), sleep=sleep)
    assert run_display.failure(run).startswith("[bold red]evaluator failed:")
    assert said(console).splitlines()[-1].split()[:2] == ["evaluator", "failed"]


@pytest.mark.parametrize(
    ("metrics", "code", "last"),
    [
        ({"deployed": 1.0, "unchanged": 0.0}, OK, "Blessed and pushed"),
        ({"deployed": 1.0, "unchanged": 1.0}, OK, "Blessed and unchanged; it was deployed before"),
        ({"deployed": 0.0, "unchanged": 0.0}, NOT_BLESSED, "Blessed, but not pushed: someone "),
    ],
)
def test_the_result_of_the_pusher_is_printed(v1beta1, workflow, console, metrics, code, last):
    v1beta1.execute = lambda *_: Result(metrics={"blessed": 1.0, **metrics})
    assert submit(v1beta1, job(workflow), console, wait=True) == code
    line = said(console).splitlines()[-1]
    assert line.startswith(last)
    page = f"see {v1beta1.url}/#/runs/details/{next(iter(v1beta1.cluster.runs))}"
    assert line.endswith(page) == (code == NOT_BLESSED)


def test_a_workflow_may_report_no_verdict(v1beta1, workflow, console):
    assert submit(v1beta1, job(workflow), console, wait=True) == OK
    assert "no step reported whether the model was blessed" in said(console)


def test_ctrl_c_does_not_stop_the_run(server, workflow, console, monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(run_display, "follow", interrupt)
    assert submit(server, job(workflow, name="a [b]"), console, wait=True) == INTERRUPTED
    assert "run         a [b], http" in said(console)
    (run,) = server.cluster.runs
    assert said(console).endswith(
        f"Interrupted; the run continues: {server.url}/#/runs/details/{run}\n"
    )


@pytest.mark.parametrize("generation", ["v1beta1", "v2beta1"])
def test_users_of_a_server_are_separate(generation, workflow, console):
    users = {"a-token": ["team"], "b-token": ["others"]}
    with ApiServer(serves=(generation,), users=users) as server:
        for token, namespace in [("a-token", "team"), ("b-token", "others")]:
            api = connect(SignIn(host=server.url, namespace=namespace, token=token))
            wanted = job(workflow, experiment="houses", create_experiment=True)
            assert service.submit(api, wanted, console, START, wait=True, poll=0.01) == OK
            service.schedule(api, wanted, console, START, SIX)
            assert len(api.recurring_runs()) == 1
        assert [entry.namespace for entry in server.cluster.runs.values()] == ["team", "others"]
        theirs = next(
            entry.id for entry in server.cluster.jobs.values() if entry.namespace == "team"
        )
        with pytest.raises(ServerError) as caught:
            api.pause(theirs)
        assert caught.value.status == 403


def start(api, workflow, console):
    server_side = service._order(api, job(workflow), "a run", console, START)
    return api.create_run(server_side)
