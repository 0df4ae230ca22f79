"""Beam steps on an engine outside the process, over Beam's portable protocol.

The engine is Beam's own job server, which speaks the same protocol as those of Flink and Spark.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

import psutil
import pytest

from tests.e2e.conftest import REPOSITORY, Problem, states, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

QUICK = ["train.max_steps=200", "train.evaluate_every=100"]
# Workers are started as `python` and import the project's modules.
ENVIRONMENT = {
    **os.environ,
    "PATH": f"{pathlib.Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONPATH": str(REPOSITORY),
}


def started(*arguments: str, log: pathlib.Path) -> subprocess.Popen:
    with open(log, "w") as file:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments], stdout=file, stderr=file, env=ENVIRONMENT
        )


@pytest.fixture(scope="module")
def job_server(tmp_path_factory):
    """Yields the port of a job server."""
    folder = tmp_path_factory.mktemp("job_server")
    port = folder / "port"
    process = started(
        "apache_beam.runners.portability.local_job_service_main",
        *("--port", "0", "--port_file", str(port), "--staging_dir", str(folder / "staging")),
        log=folder / "log",
    )
    yield wait_for(lambda: port.exists() and port.read_text(), process)
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def worker_pool(tmp_path_factory):
    """Yields a process that starts workers for an engine, and its port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    process = started(
        "apache_beam.runners.worker.worker_pool_main",
        *("--service_port", port),
        log=tmp_path_factory.mktemp("worker_pool") / "log",
    )

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", int(port))) == 0

    wait_for(answers, process)
    yield process, port
    process.kill()
    process.wait()


def beam(job_server: str, environment: str) -> str:
    arguments = ["--runner=PortableRunner", f"--job_endpoint=localhost:{job_server}", environment]
    return f"beam.args={json.dumps(arguments)}"


def verdict(found: Problem) -> dict:
    folder = found.workspace / "artifacts" / "Evaluator" / "evaluation"
    latest = max(folder.glob("*/verdict.json"), key=lambda file: int(file.parent.name))
    return json.loads(latest.read_text())


@pytest.fixture(scope="module")
def in_process(king_county, tmp_path_factory) -> dict:
    """Returns the verdict of a run without an external engine."""
    found = Problem(king_county.config, tmp_path_factory.mktemp("in_process"))
    found.run(*QUICK)
    return verdict(found)


def test_every_step_runs_on_a_job_server(king_county, in_process, job_server, tmp_path):
    found = Problem(king_county.config, tmp_path)
    output = found.run(*QUICK, beam(job_server, "--environment_type=LOOPBACK"))
    assert set(states(output).values()) == {"done"}
    assert "Blessed and pushed to" in output
    ours = verdict(found)
    assert ours["examples"] == in_process["examples"]
    assert ours["metrics"]["overall"]["rmse"] == pytest.approx(
        in_process["metrics"]["overall"]["rmse"], rel=0.05
    )


def workers(pool: subprocess.Popen) -> list[psutil.Process]:
    """Returns the workers of a pool that have work: a data channel besides control and logging.

    If a worker is killed before that, the job server does not know it yet and waits for it.
    """
    return [
        child
        for child in psutil.Process(pool.pid).children()
        if child.is_running() and len(connected(child)) >= 3
    ]


def connected(process: psutil.Process) -> set[int]:
    """Returns the remote ports that a process is connected to."""
    with contextlib.suppress(psutil.Error):
        return {c.raddr.port for c in process.net_connections("tcp") if c.status == "ESTABLISHED"}
    return set()


def test_a_killed_worker_fails_its_step_and_the_next_run_continues(
    king_county, in_process, job_server, worker_pool, tmp_path
):
    found = Problem(king_county.config, tmp_path)
    pool, port = worker_pool
    external = beam(job_server, "--environment_type=EXTERNAL")
    external = external.replace("]", f', "--environment_config=localhost:{port}"]')
    process = found.start(*QUICK, external)
    statistics = tmp_path / "artifacts" / "StatisticsGen"
    wait_for(statistics.exists, process)
    before = {worker.pid for worker in workers(pool)}
    (worker, *_) = wait_for(lambda: [w for w in workers(pool) if w.pid not in before], process)
    worker.kill()
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1, output
    assert states(output)["TableExampleGen"] == "done"
    assert states(output)["StatisticsGen"] == "failed"

    again = found.run(*QUICK, external)
    assert states(again)["TableExampleGen"] == "cached"
    assert "Blessed and pushed to" in again
    assert verdict(found)["examples"] == in_process["examples"]
