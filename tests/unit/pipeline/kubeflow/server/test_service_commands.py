"""Tests of the commands that use a server, run as a user runs them."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest
from pipelines_server import evaluator
from pipelines_server.api_server import ApiServer

ROOT = pathlib.Path(__file__).parents[5]


@pytest.fixture
def problem(tmp_path, workflow):
    """Writes a folder with a configuration and its compiled workflow, in which commands run."""
    (tmp_path / "houses.csv").write_text("price,rooms\n1,2\n")
    (tmp_path / "pipeline.yaml").write_text(
        "name: houses\ntask: regression\nlabel: price\ndata: houses.csv\n"
        "gates: {mae: {at_most: 1}}\n"
        "kubeflow: {image: 'houses:1', workspace: /mnt/houses, volumes: {houses: /mnt/houses}}\n"
    )
    compiled = tmp_path / "workspace" / "houses" / "kubeflow" / "workflow.yaml"
    compiled.parent.mkdir(parents=True)
    shutil.copy(workflow, compiled)
    return tmp_path


def call(folder, *arguments, **variables):
    return subprocess.run(
        [sys.executable, str(ROOT / "kubeflow_runner.py"), *arguments],
        capture_output=True,
        text=True,
        cwd=folder,
        timeout=120,
        env={**os.environ, "COLUMNS": "80", **variables},
    )


def test_from_submit_to_a_schedule_and_back(problem):
    with ApiServer(evaluator.execute, users={"secret": ["team"]}) as server:
        (problem / "token").write_text("secret")
        where = ["--host", server.url, "-n", "team", "--token-file", "token"]
        what = ["-c", "pipeline.yaml", "--experiment", "sales", "--create-experiment"]
        done = call(problem, "submit", *what, *where, "--wait", "--poll", "0.05")
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("experiment")
        assert "\nrmse 100000\nBlessed; no step reported whether" in done.stdout
        done = call(
            problem, "submit", *what, *where, "--wait", "--poll", "0.05", "--param", "at_most=1"
        )
        assert done.returncode == 3
        done = call(problem, "schedule", "--cron", "0 3 * * mon-fri", *what, *where)
        assert (done.returncode, done.stderr) == (0, "")
        assert "cron        0 0 3 * * 1-5 (seconds first)\n" in done.stdout
        # Environment variables work as well.
        known = {
            "KF_PIPELINES_ENDPOINT": server.url,
            "KF_PIPELINES_TOKEN": "secret",
            "KF_PIPELINES_NAMESPACE": "team",
        }
        for command, said in [("pause", "paused"), ("resume", "resumed"), ("delete", "deleted")]:
            done = call(problem, "schedules", command, "houses", **known)
            assert (done.returncode, done.stdout) == (0, f"{said:<12}houses\n")
        done = call(problem, "schedules", "list", **known)
        assert (done.returncode, done.stdout) == (0, "no schedules\n")
        assert len(server.cluster.runs) == 2


def test_a_workflow_older_than_its_configuration_is_noted(problem):
    (problem / "workspace" / "houses" / "kubeflow" / "workflow.yaml").touch()
    nowhere = ["submit", "-c", "pipeline.yaml", "--host", "http://127.0.0.1:1"]
    assert "note" not in call(problem, *nowhere).stderr
    os.utime(problem / "pipeline.yaml", (2e9, 2e9))
    noted = call(problem, *nowhere).stderr.splitlines()[0]
    workflow = "workspace/houses/kubeflow/workflow.yaml"
    assert (
        noted
        == f"note  pipeline.yaml is newer than {workflow}; to take over its changes, run `compile`"
    )


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["submit", "--param", "rmsee=1"], "--param rmsee: .*did you mean rmse"),
        (
            ["submit", "--file", "no.yaml"],
            "no.yaml: no such workflow; write it with kubeflow",
        ),
        (["submit", "--poll", "0"], "Invalid value for '--poll': 0"),
        (["schedule"], "Missing option '--cron'; see --help"),
        (["schedule", "--cron", "0 25 * * *"], "--cron '0 25 \\* \\* \\*': hour '25': expected"),
        (
            ["schedule", "--cron", "@daily", "--timezone", "CEST"],
            "--timezone CEST: unknown; expected",
        ),
        (
            ["schedule", "--cron", "@daily", "--param", "new-baseline=moved"],
            "--param new-baseline: a schedule would set the deployed model aside every time; give",
        ),
        (["submit", "--host", "http://127.0.0.1:1"], "http://127.0.0.1:1: connection refused; is"),
        (
            ["submit", "--host", "http://x", "--api", "v1beta"],
            "--api v1beta: unknown; did you mean",
        ),
        (["submit"], "--host: missing; only known in a pod"),
        (["schedule", "--cron", "@daily", "--set", "name=x"], "No such option: --set"),
    ],
)
def test_a_mistake_is_one_line(problem, arguments, line):
    config = [] if arguments == ["schedule"] else ["-c", "pipeline.yaml"]
    done = call(problem, *arguments, *config, KF_PIPELINES_ENDPOINT="")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.match(line, done.stderr) and done.stderr.count("\n") == 1


def test_run_refuses_a_remote_metadata_store(problem):
    config = (problem / "pipeline.yaml").read_text()
    (problem / "pipeline.yaml").write_text(config.replace("1',", "1', metadata: {host: store},"))
    done = call(problem, "run", "-c", "pipeline.yaml")
    assert done.returncode == 2
    assert "kubeflow.metadata: steps would look for the store at that address" in done.stderr


def test_help_needs_no_client():
    code = (
        "import sys, runpy\n"
        "sys.argv = ['kubeflow_runner.py', 'schedule', '--help']\n"
        "try: runpy.run_path('kubeflow_runner.py', run_name='__main__')\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'kfp', 'kfp_server_api', 'tensorflow', 'tfx', 'croniter'} & set(sys.modules)\n"
        "print('imported', sorted(heavy), 'code', code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.endswith("imported [] code 0\n")
