"""Tests of the executor on small workflows whose containers run plain commands."""

import io
import os
import pathlib
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
import yaml
from etils import epath
from rich.console import Console

from models.errors import UserError
from pipeline.console.node_progress import Progress
from pipeline.kubeflow.compile.workflow_file import Manifest
from pipeline.kubeflow.local_argo import isolation, run_command
from pipeline.kubeflow.local_argo.execution import Execution, StepFailed
from pipeline.kubeflow.local_argo.isolation import Namespaces, Processes
from pipeline.kubeflow.local_argo.pod_environment import Cluster
from pipeline.kubeflow.local_argo.records import Records
from pipeline.kubeflow.local_argo.workflow import Workflow

ROOT = pathlib.Path(__file__).parents[5]
RECORDS = Records("houses-1", port=0, to_local_path=epath.Path)  # read after a success only
NAMESPACES = isinstance(isolation.best(ROOT), Namespaces)
both = pytest.mark.parametrize(
    "kind",
    [
        Processes,
        pytest.param(
            Namespaces, marks=pytest.mark.skipif(not NAMESPACES, reason="needs root's namespaces")
        ),
    ],
)


def shell(name: str, script: str, inputs: tuple[str, ...] = (), **more) -> dict:
    container = {"image": "x:1", "command": ["sh", "-c"], "args": [script]}
    container |= more.pop("container", {})
    parameters = [{"name": item} for item in inputs]
    return {"name": name, "inputs": {"parameters": parameters}, "container": container, **more}


def task(name: str, *dependencies: str, **more) -> dict:
    given = [{"name": key, "value": value} for key, value in more.pop("given", {}).items()]
    return {
        "name": name,
        "template": more.pop("template", name),
        "dependencies": list(dependencies),
        "arguments": {"parameters": given},
        **more,
    }


def manifest(templates: list[dict], tasks: list[dict], parameters=None, **spec) -> str:
    values = [{"name": key, "value": value} for key, value in (parameters or {}).items()]
    main = {"name": "main", "dag": {"tasks": tasks}}
    arguments = {"parameters": values}
    spec |= {"entrypoint": "main", "arguments": arguments, "templates": [*templates, main]}
    return yaml.safe_dump({"kind": "Workflow", "spec": spec})


@pytest.fixture
def make(tmp_path):
    def make(text: str, kind=Processes, parallel=2, parameters=(), **cluster) -> Execution:
        compiled = Manifest.parse(text, "test")
        workflow = Workflow.of(compiled)
        folder = tmp_path / "run"
        folder.mkdir()
        return Execution(
            workflow,
            "houses-1",
            compiled.parameters(dict(parameters)),
            Cluster(**{"volumes": tmp_path / "volumes", "config_maps": {}, **cluster}),
            kind(ROOT),
            folder,
            parallel,
            Progress(Console(file=io.StringIO()), workflow.steps()),
            labels={"pipeline/runid": "7"},
        )

    return make


def states(execution: Execution) -> dict[str, str]:
    return {name: node.state for name, node in execution.progress.nodes.items()}


def said(execution: Execution, step: str) -> str:
    return (execution.folder / f"{step}.log").read_text()


def volume(claim: str, mount: str) -> dict:
    return {
        "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": claim}}],
        "container": {"volumeMounts": [{"name": "v", "mountPath": mount}]},
    }


def test_a_task_starts_when_its_dependencies_have_ended(make, tmp_path):
    order = tmp_path / "order"
    steps = [shell(name, f"echo {name} >>{order}") for name in "abcd"]
    tasks = [task("d", "b", "c"), task("c", "a"), task("b", "a"), task("a")]
    execution = make(manifest(steps, tasks))
    execution.run()
    lines = order.read_text().split()
    assert (lines[0], lines[-1], sorted(lines)) == ("a", "d", ["a", "b", "c", "d"])
    assert set(states(execution).values()) == {"done"}


def test_steps_run_in_parallel_up_to_the_limit(make, tmp_path):
    """Each step waits until another one runs; none may see three at a time."""
    script = (
        f"touch {tmp_path}/$$.busy; n=0; "
        f"while [ $(ls {tmp_path} | grep -c busy$) -lt 2 ] && [ $n -lt 500 ]; do "
        f"n=$((n+1)); sleep .01; done; ls {tmp_path} | grep -c busy$; rm {tmp_path}/$$.busy"
    )
    steps = [shell(name, script) for name in "abcd"]
    execution = make(manifest(steps, [task(name) for name in "abcd"]), parallel=2)
    execution.run()
    seen = [int(said(execution, name).split()[-1]) for name in "abcd"]
    assert max(seen) == 2


def test_parameters_are_passed_from_the_workflow_to_the_task(make):
    step = shell("a", "echo {{inputs.parameters.length}} {{workflow.name}}", ("length",))
    text = manifest(
        [step], [task("a", given={"length": "{{workflow.parameters.length}}"})], {"length": "5"}
    )
    execution = make(text, parameters={"length": "7"})
    execution.run()
    assert said(execution, "a") == "7 houses-1\n"


def test_outputs_of_a_step_reach_later_ones(make, tmp_path):
    output = {"parameters": [{"name": "n", "valueFrom": {"path": str(tmp_path / "n")}}]}
    steps = [
        shell("a", f"printf 42 >{tmp_path}/n", outputs=output),
        shell("b", "echo {{inputs.parameters.n}}", ("n",)),
    ]
    given = {"n": "{{tasks.a.outputs.parameters.n}}"}
    execution = make(manifest(steps, [task("a"), task("b", "a", given=given)]))
    execution.run()
    assert said(execution, "b") == "42\n"


@both
def test_a_missing_output_fails_the_step(make, kind):
    outputs = {"artifacts": [{"name": "page", "path": "/tmp/outputs/nowhere/page.json"}]}
    execution = make(manifest([shell("a", "true", outputs=outputs)], [task("a")]), kind)
    with pytest.raises(StepFailed):
        execution.run()
    assert "output page: no file /tmp/outputs/nowhere/page.json" in said(execution, "a")


def test_downward_api_config_maps_and_secrets(make):
    def field(path):
        return {"valueFrom": {"fieldRef": {"fieldPath": path}}}

    container = {
        "env": [
            {"name": "PLAIN", "value": "1"},
            {"name": "RUN", **field("metadata.labels['workflows.argoproj.io/workflow']")},
            {"name": "ID", **field("metadata.labels['pipeline/runid']")},
            {"name": "TEAM", **field("metadata.labels['team']")},
            {"name": "ABSENT", **field("metadata.labels['nobody']")},
            {"name": "POD", **field("metadata.name")},
            {"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}},
            {
                "name": "OPTIONAL",
                "valueFrom": {"secretKeyRef": {"name": "db", "key": "no", "optional": True}},
            },
        ],
        "envFrom": [
            {"configMapRef": {"name": "settings"}},
            {"configMapRef": {"name": "nowhere", "optional": True}},
        ],
    }
    names = "PLAIN RUN ID TEAM ABSENT POD KEY HOST OPTIONAL"
    script = f'for n in {names}; do eval "echo $n=\\${{$n-unset}}"; done'
    step = shell("a", script, container=container, metadata={"labels": {"team": "red"}})
    execution = make(
        manifest([step], [task("a")]),
        config_maps={"settings": {"HOST": "h"}},
        secrets={"db": {"password": "s3cret"}},
    )
    execution.run()
    variables = dict(line.split("=", 1) for line in said(execution, "a").splitlines())
    assert re.fullmatch(r"houses-1-a-[0-9a-f]{8}", variables.pop("POD"))
    assert variables == {
        "PLAIN": "1",
        "RUN": "houses-1",
        "ID": "7",
        "TEAM": "red",
        "ABSENT": "",
        "KEY": "s3cret",
        "HOST": "h",
        "OPTIONAL": "unset",
    }


def test_a_missing_secret_is_named(make):
    reference = {"secretKeyRef": {"name": "db", "key": "password"}}
    step = shell("a", "true", container={"env": [{"name": "KEY", "valueFrom": reference}]})
    with pytest.raises(UserError, match="secret db/password: missing; give it as --secret"):
        make(manifest([step], [task("a")])).run()


def test_the_environment_of_this_process_does_not_leak(make, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "leaked")
    execution = make(manifest([shell("a", "env")], [task("a")]))
    execution.run()
    assert "leaked" not in said(execution, "a")


def test_a_failed_step_is_retried_until_it_succeeds(make, tmp_path):
    script = f"echo try >>{tmp_path}/tries; [ $(wc -l <{tmp_path}/tries) -ge 3 ]"
    step = shell("a", script, retryStrategy={"limit": 3, "backoff": {"duration": "0.01s"}})
    execution = make(manifest([step], [task("a")]))
    execution.run()
    assert (tmp_path / "tries").read_text() == "try\n" * 3


@pytest.mark.parametrize(
    ("strategy", "tries"),
    [
        ({"limit": 2}, 3),
        ({"limit": "1", "retryPolicy": "Always"}, 2),
        ({"limit": 2, "retryPolicy": "OnError"}, 1),
        ({"limit": 2, "expression": "asInt(lastRetry.exitCode) != 3"}, 1),
        ({"limit": 2, "expression": "asInt(lastRetry.exitCode) != 4"}, 3),
        ({}, 1),
    ],
)
def test_the_retry_strategy_decides_the_number_of_tries(make, tmp_path, strategy, tries):
    step = shell("a", f"echo try >>{tmp_path}/tries; exit 3", retryStrategy=strategy)
    with pytest.raises(StepFailed) as failure:
        make(manifest([step], [task("a")])).run()
    assert failure.value.exit_code == 3
    assert (tmp_path / "tries").read_text() == "try\n" * tries


@both
def test_a_killed_step_is_retried(make, kind, tmp_path):
    step = shell("a", "if [ -e /mark/1 ]; then exit 0; fi; touch /mark/1; kill -9 $$")
    if kind is Processes:
        (tmp_path / "mark").mkdir()
        step["container"]["args"] = [step["container"]["args"][0].replace("/mark", f"{tmp_path}")]
    else:
        extra = volume("claim", "/mark")
        step["container"] |= extra["container"]
        step["volumes"] = extra["volumes"]
    step["retryStrategy"] = {"limit": 1}
    execution = make(manifest([step], [task("a")]), kind)
    execution.run()
    assert states(execution) == {"a": "done"}
    assert execution.progress.nodes["a"].note == "exit code 137; try 2 of 2"


def test_steps_after_a_failed_one_are_skipped(make):
    steps = [shell("a", "true"), shell("b", "exit 5"), shell("c", "true"), shell("d", "true")]
    tasks = [task("a"), task("b", "a"), task("c", "b"), task("d", "c")]
    execution = make(manifest(steps, tasks))
    with pytest.raises(StepFailed) as failure:
        execution.run()
    assert (failure.value.step, failure.value.exit_code) == ("b", 5)
    assert failure.value.log == execution.folder / "b.log"
    assert states(execution) == {"a": "done", "b": "failed", "c": "skipped", "d": "skipped"}


@pytest.mark.parametrize(
    ("condition", "state"),
    [
        ('"{{inputs.parameters.side}}" == "heads"', "done"),
        ('"{{inputs.parameters.side}}" != "heads"', "skipped"),
        ("{{inputs.parameters.n}} > 9", "done"),
        ("{{inputs.parameters.n}} <= 9", "skipped"),
    ],
)
def test_a_condition_decides_whether_a_task_runs(make, condition, state):
    steps = [shell("a", "true"), shell("b", "true")]
    inner = {
        "name": "inner",
        "inputs": {"parameters": [{"name": "side"}, {"name": "n"}]},
        "dag": {"tasks": [task("a", when=condition), task("b", "a")]},
    }
    outer = task("inner", given={"side": "heads", "n": "10"})
    execution = make(manifest([*steps, inner], [outer]))
    execution.run()
    assert states(execution) == {"inner/a": state, "inner/b": "done"}


@pytest.mark.parametrize(("code", "status"), [(0, "Succeeded"), (1, "Failed")])
def test_on_exit_runs_after_success_and_failure(make, code, status):
    steps = [shell("a", f"exit {code}"), shell("last", "echo {{workflow.status}}")]
    execution = make(manifest(steps, [task("a")], onExit="last"))
    if code:
        with pytest.raises(StepFailed):
            execution.run()
    else:
        execution.run()
    assert said(execution, "last") == f"{status}\n"


@pytest.mark.parametrize(
    ("on_exit", "shown"),
    [("echo no answer; exit 4", "  no answer"), ("echo {{nothing}}", "{{nothing}} refers to")],
)
def test_an_error_at_exit_is_shown_after_the_error_of_the_step(make, on_exit, shown):
    steps = [shell("a", "echo bad table; exit 2"), shell("last", on_exit)]
    execution = make(manifest(steps, [task("a")], onExit="last"))
    output = io.StringIO()
    code = run_command._execute(execution, RECORDS, Console(file=output))
    assert code == 2
    assert 0 < output.getvalue().index("  bad table") < output.getvalue().index(shown)


def test_every_step_that_failed_in_parallel_is_shown(make, tmp_path):
    """Each step waits until the other one runs, so both have started before one fails."""
    script = f"touch {tmp_path}/$0; until [ $(ls {tmp_path}/[ab] | wc -l) = 2 ]; do :; done; "
    steps = [
        shell(name, f"{script} echo {name} broke; exit 4", container={"command": ["sh", "-c"]})
        for name in "ab"
    ]
    for step in steps:
        step["container"]["args"].append(step["name"])
    execution = make(manifest(steps, [task(name) for name in "ab"]))
    output = io.StringIO()
    assert run_command._execute(execution, RECORDS, Console(file=output)) == 1
    assert "  a broke" in output.getvalue()
    assert "  b broke" in output.getvalue()


def test_an_error_at_exit_follows_a_mistake_in_the_workflow(make):
    steps = [shell("a", "echo {{nothing}}"), shell("last", "exit 4")]
    execution = make(manifest(steps, [task("a")], onExit="last"))
    with pytest.raises(UserError, match=r"(?s)nothing.*\nlast ended with exit code 4; its log: "):
        run_command._execute(execution, RECORDS, Console(file=io.StringIO()))


@pytest.mark.parametrize(
    "mutation",
    [
        {"parallelism": 3},
        {"templates": [{**shell("a", "true"), "daemon": True}]},
        {"templates": [{**shell("a", "true"), "inputs": {"artifacts": [{"name": "x"}]}}]},
        {"templates": [{"name": "a", "script": {}}]},
        {
            "templates": [
                shell("a", "true"),
                {"name": "main", "dag": {"tasks": [task("a", withItems=[1])]}},
            ]
        },
    ],
)
def test_unsupported_fields_are_refused(mutation):
    content = yaml.safe_load(manifest([shell("a", "true")], [task("a")]))
    content["spec"] |= mutation
    with pytest.raises(UserError, match="`run` does not support this field"):
        Workflow.of(Manifest.parse(yaml.safe_dump(content), "test"))


def test_a_dangling_reference_is_named(make):
    with pytest.raises(UserError, match="inputs.parameters.lenght.* did you mean"):
        make(
            manifest(
                [shell("a", "echo {{inputs.parameters.lenght}}", ("length",))],
                [task("a", given={"length": "1"})],
            )
        ).run()


@pytest.mark.skipif(not NAMESPACES, reason="needs root's namespaces")
def test_a_container_shares_only_its_volumes(make, tmp_path):
    """What it writes elsewhere is lost; it sees the code, but not the rest of the project."""
    secret = tmp_path / "beside"
    secret.write_text("")
    script = "pwd; ls; touch /data/kept /tmp/gone /gone /app/gone 2>&1; ps ax | wc -l; id -u"
    step = shell("a", script, **volume("claim", "/data"))
    check = shell("b", "ls /data /tmp; ls -d /gone", **volume("claim", "/data"))
    execution = make(manifest([step, check], [task("a"), task("b", "a")]), Namespaces)
    with pytest.raises(StepFailed):
        execution.run()
    lines = said(execution, "a").splitlines()
    assert lines[0] == "/app"
    assert set(lines[1:7]) == {
        "components",
        "data",
        "kubeflow_runner.py",
        "local_runner.py",
        "models",
        "pipeline",
    }
    assert int(lines[-2]) < 10, "it sees its own processes only"
    assert [path.name for path in (tmp_path / "volumes" / "claim").iterdir()] == ["kept"]
    assert "kept" in said(execution, "b")
    assert "gone" not in said(execution, "b").replace("'/gone'", "")
    assert not pathlib.Path("/gone").exists()
    assert not (ROOT / "gone").exists()
    assert not [path for path in execution.folder.iterdir() if path.suffix != ".log"]


def alive(marker: str) -> list[str]:
    listing = subprocess.run(["ps", "axo", "args"], capture_output=True, text=True).stdout
    return [line for line in listing.splitlines() if marker in line and "ps axo" not in line]


@both
def test_stop_ends_every_process(make, kind, tmp_path):
    marker = f"98{os.getpid()}"
    step = shell("a", f"sleep {marker} & sleep {marker}", retryStrategy={"limit": 5})
    execution = make(manifest([step], [task("a")]), kind)
    ended = []

    def run():
        try:
            execution.run()
        except KeyboardInterrupt as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: len(alive(f"sleep {marker}")) >= 2)
    execution.stop()
    thread.join(30)
    assert ended
    assert states(execution) == {"a": "interrupted"}
    until(lambda: not alive(f"sleep {marker}"))


@both
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_executor(kind, by, tmp_path):
    marker = f"97{os.getpid()}"
    text = manifest([shell("a", f"exec sleep {marker}")], [task("a")])
    (tmp_path / "workflow.yaml").write_text(text)
    program = textwrap.dedent(
        f"""
        import io, pathlib, sys
        from rich.console import Console
        from pipeline.kubeflow.local_argo import isolation, run_command
        from pipeline.kubeflow.local_argo.execution import Execution
        from pipeline.kubeflow.local_argo.pod_environment import Cluster
        from pipeline.kubeflow.local_argo.workflow import Workflow
        from pipeline.kubeflow.compile.workflow_file import Manifest
        from pipeline.console.node_progress import Progress
        folder = pathlib.Path({str(tmp_path)!r})
        workflow = Workflow.of(Manifest.load(folder / "workflow.yaml"))
        console = Console(file=sys.stdout)
        execution = Execution(workflow, "n", {{}}, Cluster(folder, {{}}),
            isolation.{kind.__name__}(folder), folder, 1, Progress(console, workflow.steps()))
        sys.exit(run_command._execute(execution, None, console))
        """
    )
    (tmp_path / "data").mkdir()
    if kind is Namespaces:
        program = program.replace(f"isolation.{kind.__name__}(folder)", f"isolation.best({ROOT!r})")
        program = program.replace("PosixPath", "pathlib.PosixPath")
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        # A shell makes its background processes, such as these tests, ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until(lambda: alive(f"sleep {marker}"))
    process.send_signal(by)
    code = process.wait(30)
    until(lambda: not alive(f"sleep {marker}"))
    assert code == (-9 if by == signal.SIGKILL else 130)


def until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("text", "free"),
    [
        ("Traceback (most recent call last):\n  x\nOSError: No space left on device", 9e9),
        ("Traceback (most recent call last):\n  x\nInternalError: database or disk is full", 9e9),
        ("", 0),
    ],
    ids=["said by the step", "said by the metadata store", "no room to say it"],
)
def test_a_full_disk_is_one_line(tmp_path, text, free):
    log = tmp_path / "trainer.log"
    log.write_text(text)
    output = io.StringIO()
    run_command._show_failure(Console(file=output), StepFailed("trainer", 1, log), free)
    lines = output.getvalue().splitlines()
    prefix = "" if text else f"{tmp_path}: "
    full = "the disk is full; free some space, then run the same command again to continue"
    assert lines == [
        "",
        "trainer failed (exit code 1):",
        f"  {prefix}{full}",
        f"Its log: {log}",
    ]
