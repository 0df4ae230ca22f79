"""The compiled workflow, executed step by step on this machine and compared with a local run."""

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

import forks
import numpy as np
import pandas as pd
import pytest
from pipelines_server.api_server import ApiServer
from pipelines_server.cluster import Node, Result

from pipeline.kubeflow.local_argo import isolation
from tests.e2e.conftest import KING_COUNTY, REPOSITORY, STEPS, Problem, states, wait_for

pytestmark = pytest.mark.e2e

MOUNT = "/mnt/pipelines"
ISOLATED = isinstance(isolation.best(REPOSITORY), isolation.Namespaces)


@dataclasses.dataclass
class Cluster:
    """The problem of the local tests, compiled for a cluster, with its table on a volume."""

    problem: Problem
    workspace: pathlib.Path

    @property
    def root(self) -> pathlib.Path:
        return self.workspace / "kubeflow"

    @property
    def volume(self) -> pathlib.Path:
        return self.root / "volumes" / "pipelines"

    @property
    def home(self) -> pathlib.Path:
        """The folder in which runs keep serving directories and trainings."""
        return self.volume / "king_county" if ISOLATED else self.root

    @property
    def versions(self) -> list[str]:
        serving = self.home / "serving"
        return sorted(path.name for path in serving.glob("[0-9]*"))

    def command(self, name: str, *arguments: str) -> list[str]:
        runner = [sys.executable, str(REPOSITORY / "kubeflow_runner.py"), name]
        problem = ["-c", str(self.problem.config), "-w", str(self.workspace)]
        return [*runner, *problem, *arguments]

    def call(self, name: str, *arguments: str, code: int = 0) -> str:
        done = forks.run(self.command(name, *arguments)[1:], forks.KUBEFLOW, timeout=900)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def compile(self, *settings: str) -> None:
        data = f"{MOUNT}/data" if ISOLATED else str(self.volume / "data")
        volumes = f"kubeflow.volumes={{pipelines: {MOUNT}, data: {self.volume}}}"
        own = [f"kubeflow.data={data}", "kubeflow.retries={limit: 2, backoff: 1}"]
        own += [] if ISOLATED else [volumes]
        self.call(
            "compile", *[word for setting in (*own, *settings) for word in ("--set", setting)]
        )

    def log(self, step: str) -> str:
        """Returns a step's log in the last run."""
        runs = sorted(path for path in (self.root / "logs").iterdir() if path.is_dir())
        return (runs[-1] / f"{step}.log").read_text(errors="replace")

    def predict(self, csv: pathlib.Path, out: pathlib.Path) -> np.ndarray:
        push = f"push.directory={self.home / 'serving'}"
        done = self.problem.call("predict", "--csv", str(csv), "--out", str(out), "--set", push)
        assert done.returncode == 0, done.stderr
        return pd.read_csv(out).predicted_price.to_numpy()


@pytest.fixture(scope="module")
def cluster(king_county, houses, tmp_path_factory) -> Cluster:
    found = Cluster(king_county, tmp_path_factory.mktemp("cluster"))
    (found.volume / "data").mkdir(parents=True)
    houses.to_csv(found.volume / "data" / "kc_house_data.csv", index=False)
    found.compile()
    return found


@pytest.fixture(scope="module")
def first(cluster) -> str:
    return cluster.call("run")


@pytest.mark.slow
def test_the_first_run_blesses_and_pushes_a_model(cluster, first):
    assert states(first) == dict.fromkeys(STEPS, "done")
    assert "No other model is deployed" in first
    (version,) = cluster.versions
    assert f"pushed to {cluster.home / 'serving' / version}" in first


@pytest.mark.slow
def test_the_pushed_model_predicts_exactly_as_that_of_a_local_run(
    cluster, first, king_county, tmp_path
):
    local_run = Problem(king_county.config, tmp_path / "workspace")
    local_run.run()
    csv = KING_COUNTY / "kc_house_data.csv"
    done = local_run.predict(csv, tmp_path / "local.csv")
    assert done.returncode == 0, done.stderr
    local = pd.read_csv(tmp_path / "local.csv").predicted_price.to_numpy()
    ours = cluster.predict(csv, tmp_path / "cluster.csv")
    np.testing.assert_array_equal(ours, local)


def reported(run: pathlib.Path, step: str) -> dict[str, float]:
    """Returns the metrics that a step of a run reports to Kubeflow."""
    found = json.loads((run / "outputs" / step / "mlpipeline-metrics.json").read_text())
    assert all(item["format"] == "RAW" for item in found["metrics"])
    return {item["name"]: item["numberValue"] for item in found["metrics"]}


@pytest.mark.slow
def test_the_verdict_is_written_where_kubeflow_shows_it(cluster, first):
    """The Evaluator's step writes a page and a metric, the Pusher's step its metrics."""
    (run,) = [path for path in (cluster.root / "logs").iterdir() if path.is_dir()]
    page = json.loads((run / "outputs" / "evaluator" / "mlpipeline-ui-metadata.json").read_text())
    sources = [item["source"] for item in page["outputs"]]
    assert any("# Blessed" in source and "RMSE is" in source for source in sources)
    assert reported(run, "evaluator") == {"blessed": 1.0}
    assert reported(run, "pusher") == {"deployed": 1.0, "unchanged": 0.0}


@pytest.mark.slow
def test_a_second_run_is_cached_and_a_worse_model_is_refused(cluster, first):
    second = cluster.call("run")
    assert states(second) == {**dict.fromkeys(STEPS, "cached"), "pusher": "done"}
    assert "Blessed and unchanged" in second
    assert len(cluster.versions) == 1

    worse = cluster.call("run", "--param", "max-steps=20", code=3)
    assert states(worse)["transform"] == "cached"
    assert states(worse)["trainer"] == "done"
    assert re.search(r"FAIL +RMSE .* baseline", worse)
    assert "Not blessed" in worse
    assert len(cluster.versions) == 1, "nothing was pushed"

    gates = json.dumps({"rmse": {"at_most": 1}})
    strict = cluster.call("run", "--param", f"gates={gates}", code=3)
    assert "it must be at most 1" in strict


def processes(node: str, executor: int) -> list[int]:
    """Returns an executor's descendants that run a node's step, without those that isolate it."""
    found = []
    for place in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (place / "cmdline").read_bytes().split(b"\0")
            own = words[:2] == [b"python", b"-m"] and node.encode() in words
            if own and executor in ancestors(int(place.name)):
                found.append(int(place.name))
    return found


def ancestors(process: int) -> list[int]:
    found = []
    while process:
        status = pathlib.Path(f"/proc/{process}/stat").read_text()
        process = int(status.rpartition(")")[2].split()[1])
        found.append(process)
    return found


@pytest.mark.slow
def test_killed_steps_are_retried_and_nothing_is_lost(cluster, first, tmp_path):
    """The Trainer is killed after its first checkpoint, the Pusher as soon as it runs."""
    settings = ("--param", "max-steps=301")
    process = subprocess.Popen(cluster.command("run", *settings), stdout=subprocess.PIPE, text=True)
    before = set((cluster.home / "training").iterdir())
    checkpoint = wait_for(
        lambda: [
            index
            for folder in set((cluster.home / "training").iterdir()) - before
            for index in folder.glob("model.ckpt-1*.index")
        ],
        process,
    )
    assert checkpoint
    os.kill(processes("Trainer", process.pid)[-1], signal.SIGKILL)
    pusher = wait_for(lambda: processes("Pusher", process.pid), process)
    os.kill(pusher[-1], signal.SIGKILL)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    assert re.search(r"trainer +done .* exit code 137; try 2 of 3", output)
    assert re.search(r"pusher +done .* exit code 137; try 2 of 3", output)
    assert re.search(r"Restoring parameters from .*model.ckpt-[1-9]", cluster.log("trainer"))
    assert len(cluster.versions) == 2
    serving = cluster.home / "serving"
    others = [path.name for path in serving.iterdir() if not path.name.isdigit()]
    assert sorted(others) == [".deployments.lock", "deployments.json"]


@pytest.mark.parametrize(
    ("value", "step", "message"),
    [
        ("sea", "tableexamplegen", "waterfront: found 'sea', expected a whole number"),
        pytest.param(7, "datagate", "column waterfront:", marks=pytest.mark.slow),
    ],
)
def test_bad_data_stops_the_workflow_without_a_retry(cluster, houses, value, step, message):
    folder = cluster.volume / f"bad-{value}"
    folder.mkdir()
    houses.assign(waterfront=value).to_csv(folder / "kc_house_data.csv", index=False)
    place = f"{MOUNT}/bad-{value}" if ISOLATED else str(folder)
    output = cluster.call("run", "--param", f"data-directory={place}", code=2)
    assert states(output)[step] == "failed"
    assert "trainer" not in states(output)
    assert message in output
    assert re.search(rf"Its log: .*{step}.log", output)
    assert "try 2" not in output, "no retry mends the data"


@pytest.mark.slow
def test_submitted_and_scheduled_runs_report_their_verdicts(cluster, first, tmp_path):
    """The whole loop: the server executes the uploaded workflow, and its verdict comes back."""

    def execute(manifest: str, parameters) -> Result:
        file = tmp_path / "uploaded.yaml"
        file.write_text(manifest)
        given = [
            word
            for key, value in parameters.items()
            if value  # empty is the default of `new-baseline`
            for word in ("--param", f"{key}={value}")
        ]
        command = cluster.command("run", "--file", str(file), *given)
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
        phases = {"done": "Succeeded", "cached": "Succeeded", "failed": "Failed"}
        steps = [Node(step, phases[state]) for step, state in states(done.stdout).items()]
        runs = sorted(path for path in (cluster.root / "logs").iterdir() if path.is_dir())
        values = {**reported(runs[-1], "evaluator"), **reported(runs[-1], "pusher")}
        return Result("Succeeded" if done.returncode in (0, 3) else "Failed", steps, values)

    with ApiServer(execute) as server:
        at = ("--host", server.url)
        output = cluster.call("submit", "--wait", "--poll", "0.2", *at)
        assert re.search(r"evaluator +done", output)
        assert re.search("\nBlessed and (pushed|unchanged; it was deployed before)\n$", output)

        gates = json.dumps({"rmse": {"at_most": 1}})
        nightly = ("--cron", "0 3 * * *", "--name", "nightly", "--param", f"gates={gates}")
        versions = set(server.cluster.versions)
        cluster.call("schedule", *nightly, *at)
        assert set(server.cluster.versions) == versions, "the workflow is there already"
        (run,) = server.tick(server.cluster.now + datetime.timedelta(days=1))
        assert run.result.metrics == {"blessed": 0.0, "deployed": 0.0, "unchanged": 0.0}
