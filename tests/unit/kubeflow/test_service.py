"""submit, schedule and schedules: Kubeflow's own client library against a strict server."""

import datetime
import io
import json
import re
import subprocess

import pytest
import yaml
from kfp_server import Refused, Result, Server, check
from kfp_server_v2 import ServerV2
from rich.console import Console

from pipeline import config_file
from pipeline.errors import UserError
from pipeline.kubeflow.connection import Connection
from pipeline.kubeflow.service import Service

CONFIG = """
task: regression
label: price
data: houses.csv
name: houses
gates: {mae: {at_most: 1}}
kubeflow: {image: "x/houses:1.0", workspace: gs://bucket/houses}
"""
UTC = datetime.timezone.utc


def workflow(script: str = "true") -> str:
    parameters = [{"name": "max-steps", "value": "100"}, {"name": "gates", "value": "{}"}]
    container = {"image": "x:1", "command": ["sh", "-c"], "args": [script]}
    templates = [
        {"name": "main", "dag": {"tasks": [{"name": "train", "template": "train"}]}},
        {"name": "train", "container": container},
    ]
    spec = {"entrypoint": "main", "arguments": {"parameters": parameters}, "templates": templates}
    manifest = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "spec": spec}
    return yaml.safe_dump(manifest)


def execute(manifest: str, parameters) -> Result:
    """Runs the one container of the workflow; it prints whether the model was blessed."""
    (command,) = [
        item["container"]["command"] + item["container"]["args"]
        for item in yaml.safe_load(manifest)["spec"]["templates"]
        if "container" in item
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={"STEPS": parameters.get("max-steps", "100"), "PATH": "/usr/bin:/bin"},
    )
    phase = "Failed" if done.returncode else "Succeeded"
    metrics = json.loads(done.stdout or "{}")
    return Result(phase, {"train": phase}, metrics)


@pytest.fixture
def server():
    with Server(execute) as server:
        yield server


class User:
    """Somebody with a compiled workflow and the command line."""

    def __init__(self, folder, server, **how):
        (folder / "pipeline.yaml").write_text(CONFIG)
        self.config = config_file.load(folder / "pipeline.yaml")
        self.file = folder / "workflow.yaml"
        self.file.write_text(workflow())
        self.server = server
        self.how = {"host": server.host, **how}

    def service(self, **how) -> Service:
        self.screen = io.StringIO()
        console = Console(file=self.screen, width=200)
        return Service(self.config, Connection(**{**self.how, **how}), console)

    def submit(self, parameters=(), experiment=None, name=None, create=False, **how) -> str:
        service = self.service(**how)
        return service.submit(self.file, dict(parameters), experiment, name, create)

    def schedule(self, cron="0 3 * * *", parameters=(), name=None, now=None) -> str:
        return self.service().schedule(self.file, cron, dict(parameters), None, name, now=now)

    @property
    def said(self) -> str:
        return self.screen.getvalue()


@pytest.fixture
def user(tmp_path, server) -> User:
    return User(tmp_path, server)


def test_a_run_is_of_the_uploaded_version_with_its_parameters(user, server):
    run = user.submit({"max-steps": "7"}, name="tonight")
    found = server.runs[run]
    assert found["name"] == "tonight"
    assert found["pipeline_spec"]["parameters"] == [{"name": "max-steps", "value": "7"}]
    assert found["_manifest"] == user.file.read_text()
    (experiment,) = server.experiments.values()
    assert experiment["name"] == "houses"
    assert f"{server.host}/#/runs/details/{run}" in user.said


def test_an_unchanged_workflow_is_uploaded_once(user, server):
    user.submit()
    versions = set(server.versions)
    user.submit()
    assert set(server.versions) == versions
    assert "is there already" in user.said
    user.file.write_text(workflow("false"))
    user.submit()
    assert len(server.versions) == len(versions) + 1
    assert len(server.pipelines) == 1


def test_every_page_is_read(user, server):
    """The server gives two items at a time."""
    for index in range(5):
        user.schedule(name=f"other-{index}")
    user.file.write_text(workflow("echo"))
    user.submit()
    for script in "abcdef":
        user.file.write_text(workflow(script))
        user.submit()
    count = len(server.versions)
    user.submit()
    assert len(server.versions) == count
    user.service().show_schedules()
    assert all(f"other-{index}" in user.said for index in range(5))


@pytest.mark.parametrize(
    ("script", "code", "text"),
    [
        ("echo '{\"blessed\": 1.0}'", 0, "Blessed and pushed"),
        ("echo '{\"blessed\": 0.0}'", 3, "Not blessed"),
        ("exit 1", 1, "Failed"),
        ("true", 0, "not among the run's metrics"),
    ],
)
def test_wait_ends_with_the_verdict(user, server, script, code, text):
    user.file.write_text(workflow(script))
    service = user.service()
    run = service.submit(user.file, {}, None, None)
    assert service.follow(run, 5, pause=lambda seconds: server.work()) == code
    assert text in user.said


def test_a_recurring_run_fires_by_the_clock(user, server):
    user.file.write_text(workflow('[ "$STEPS" = 9 ] && echo \'{"blessed": 1.0}\''))
    now = datetime.datetime(2026, 1, 1, tzinfo=UTC)
    user.schedule("0 3 * * *", {"max-steps": "9"}, now=now)
    assert "cron, seconds first: 0 0 3 * * *" in user.said
    times = re.findall(r"2026-\d\d-\d\d \d\d:\d\d", user.said)
    assert times == ["2026-01-01 03:00", "2026-01-02 03:00", "2026-01-03 03:00"]

    server.tick(datetime.datetime(2026, 1, 1, 2, 59, tzinfo=UTC))
    assert not server.runs
    server.tick(datetime.datetime(2026, 1, 1, 3, 1, tzinfo=UTC))
    (run,) = server.runs
    server.work()
    service = user.service()
    assert service.follow(run, 5) == 0
    assert "Blessed and pushed" in user.said

    # Three days of pause, and nothing to catch up with.
    service.pause("houses")
    server.tick(datetime.datetime(2026, 1, 4, 3, 1, tzinfo=UTC))
    assert len(server.runs) == 1
    service.resume("houses")
    server.tick(datetime.datetime(2026, 1, 6, 3, 1, tzinfo=UTC))
    assert len(server.runs) == 2
    service.delete("houses")
    server.tick(datetime.datetime(2026, 1, 9, 3, 1, tzinfo=UTC))
    assert len(server.runs) == 2


def test_schedules_are_listed_with_their_next_time(user, server):
    user.service().show_schedules()
    assert "no recurring runs" in user.said
    user.schedule("30 4 * * 1")
    made = user.schedule("0 3 * * *", name="nightly")
    service = user.service()
    service.pause(made)
    now = datetime.datetime(2026, 1, 1, tzinfo=UTC)
    service.show_schedules(now)
    lines = user.said.splitlines()
    (weekly,) = [line.split() for line in lines if line.strip().startswith("houses")]
    (nightly,) = [line.split() for line in lines if line.strip().startswith("nightly ")]
    assert weekly[1:10] == ["0", "30", "4", "*", "*", "1", "yes", "2026-01-05", "04:30"]
    assert nightly[1:] == ["0", "0", "3", "*", "*", "*", "no", made]


def refused(call, *arguments, **more) -> str:
    with pytest.raises(UserError) as error:
        call(*arguments, **more)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_taken_name_is_refused(user):
    user.schedule(name="nightly")
    text = refused(user.schedule, name="nightly")
    assert re.match(r"--name nightly: taken by the recurring run [0-9a-f-]+; choose another", text)


def test_an_unknown_experiment_is_refused_unless_asked_for(user, server):
    user.submit(experiment="prices", create=True)
    text = refused(user.submit, experiment="pricse")
    assert "--experiment pricse: no such experiment; did you mean prices?" in text
    assert "--create-experiment" in text
    assert len(server.runs) == 1


def test_an_unknown_recurring_run_is_refused(user):
    user.schedule(name="nightly")
    text = refused(user.service().pause, "nightley")
    assert "nightley: no such recurring run; did you mean nightly?" in text


def test_unknown_parameters_are_refused_before_anything_is_uploaded(user, server):
    assert "--param max-step: no such parameter" in refused(user.submit, {"max-step": "7"})
    assert not server.pipelines


def test_a_missing_workflow_is_refused(user):
    user.file.unlink()
    assert "no such workflow; run `compile` first" in refused(user.submit)


def test_who_is_not_authorised_is_told_what_to_give(user, server):
    server.token = "right"
    text = refused(user.submit, token="wrong")
    assert "not authorised (401): Request header error" in text
    assert "--token" in text
    user.submit(token="right")
    server.token, server.cookie = None, "authservice_session=right"
    assert "not authorised (403): RBAC" in refused(user.submit, cookies="authservice_session=no")
    user.submit(cookies="authservice_session=right")


def test_a_login_page_is_recognised(user, server):
    server.html = True
    text = refused(user.submit)
    assert "no answer of this API" in text
    assert "--cookies" in text


def test_a_server_that_is_not_there(user, server):
    server.__exit__()
    try:
        assert re.fullmatch(
            rf"--host {server.host}: not reachable: .*refused", refused(user.submit)
        )
    finally:
        server.__enter__()
    assert "not reachable" in refused(user.submit, host="http://nowhere.invalid")


def test_a_server_of_something_else(user, server):
    server.generations = []
    assert "has neither the v1beta1 nor the v2beta1 API" in refused(user.submit)


@pytest.mark.parametrize("host", ["localhost:8080", "ftp://localhost"])
def test_an_address_needs_its_scheme(user, host):
    assert f"--host {host}: expected an address with http" in refused(user.submit, host=host)


def test_outside_a_cluster_a_host_is_needed(user):
    assert refused(user.submit, host=None).startswith("--host: missing, and this is not a pod")


def test_namespaces_of_a_shared_installation(user, server):
    server.multi_user = True
    user.submit(namespace="team-a")
    (experiment,) = server.experiments.values()
    assert experiment["_namespace"] == "team-a"
    user.submit(namespace="team-a")
    assert len(server.experiments) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"nam": "x"}, "unknown field 'nam'"),
        ({"name": 1}, "expected str, found 1"),
        ({"enabled": "yes"}, "expected bool"),
        ({"mode": "ON"}, "'ON' is not one of"),
        ({"trigger": {"cron_schedule": {"crom": ""}}}, "job.trigger.cron_schedule: unknown field"),
        ({"resource_references": [{"relationship": "CHILD"}]}, "'CHILD' is not one of"),
    ],
)
def test_the_server_is_strict(body, message):
    """Of no use if it took anything."""
    with pytest.raises(Refused, match=re.escape(message)):
        check(body, "ApiJob", "job")


@pytest.fixture
def newer(tmp_path):
    """Somebody with a server of the newer generation."""
    with ServerV2(execute) as server:
        yield User(tmp_path, server)


def test_the_newer_api_runs_the_uploaded_version(newer):
    service = newer.service()
    run = service.submit(newer.file, {}, None, None)
    code = service.follow(run, 5, pause=lambda seconds: newer.server.work())
    assert code == 0
    assert "train                Succeeded" in newer.said
    assert "whether the model was blessed is not among" in newer.said
    versions = set(newer.server.versions)
    newer.submit()
    assert set(newer.server.versions) == versions
    assert refused(newer.submit, experiment="nobody's").startswith("--experiment nobody's")

    newer.file.write_text(workflow("exit 1"))
    service = newer.service()
    run = service.submit(newer.file, {}, None, None)
    assert service.follow(run, 5, pause=lambda seconds: newer.server.work()) == 1


def test_the_newer_api_hands_no_parameters_over(newer):
    """Its server does not , so we do not pretend."""
    text = refused(newer.submit, {"max-steps": "7"})
    assert text.startswith("--param max-steps: this server has the v2beta1 API alone")
    assert not newer.server.runs


def test_the_newer_api_fires_recurring_runs(newer):
    server = newer.server
    newer.schedule("0 3 * * *")
    for index in range(3):
        newer.schedule("0 0 1 1 *", name=f"yearly-{index}")
    server.tick(datetime.datetime(2026, 1, 1, 3, 1, tzinfo=UTC))
    assert len(server.runs) == 1
    service = newer.service()
    service.pause("houses")
    server.tick(datetime.datetime(2026, 1, 4, 3, 1, tzinfo=UTC))
    assert len(server.runs) == 1
    service.resume("houses")
    server.tick(datetime.datetime(2026, 1, 6, 3, 1, tzinfo=UTC))
    assert len(server.runs) == 2
    service.show_schedules()
    assert all(f"yearly-{index}" in newer.said for index in range(3))
    service.delete("houses")
    server.tick(datetime.datetime(2026, 1, 9, 3, 1, tzinfo=UTC))
    assert len(server.runs) == 2


def test_the_newer_api_and_who_may_ask(newer):
    newer.server.token = "right"
    assert "not authorised (401)" in refused(newer.submit, token="wrong")
    newer.submit(token="right", namespace="team-a")
    (experiment,) = newer.server.experiments.values()
    assert experiment["namespace"] == "team-a"
