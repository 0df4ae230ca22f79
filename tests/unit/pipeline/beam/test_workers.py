"""Tests of the worker processes of Beam's steps."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import psutil
import pytest

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict:
    """Returns the output of `with_workers.py main`."""
    process = started("main", tmp_path_factory.mktemp("workers"))
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    return json.loads(output)


def started(what: str, folder: pathlib.Path) -> subprocess.Popen:
    command = [sys.executable, str(HERE / "with_workers.py"), what, str(folder)]
    # Workers must talk to each other without a proxy; this one refuses everything.
    proxies = dict.fromkeys(["http_proxy", "https_proxy", "grpc_proxy"], "http://127.0.0.1:9")
    environment = {**os.environ, **proxies, "PYTHONPATH": str(HERE.parents[3])}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.parametrize("case", ["first last", "second last"])
def test_outputs_keep_the_order_of_the_parts(results, case):
    assert [element for element, _ in results[case]] == [0, 2, 4, 6, 1, 3, 5, 7]


def test_two_worker_processes_run_in_parallel(results):
    # Each worker waited for the other to begin.
    pids = [pid for _, pid in results["first last"]]
    assert len(set(pids[:4])) == len(set(pids[4:])) == 1
    assert len({*pids, results["pid"]}) == 3


def test_rows_are_counted_over_all_workers(results):
    assert results["report"] == "8 rows"


@pytest.mark.parametrize("case", ["killed", "server killed", "without a server"])
def test_a_killed_worker_fails_the_step(results, case):
    assert results[case] == (
        "a worker process ended (SIGKILL); if the machine was short of memory, lower beam.workers"
    )


def test_an_error_in_a_worker_reads_like_one_in_this_process(results):
    assert results["failed"] == "element 7 is bad [while running 'Map(fail)']"


def test_the_next_step_has_new_workers(results):
    assert sorted(results["after"]) == list(range(1, 9))


def test_without_workers_this_process_runs_the_steps(results):
    assert set(results["alone"]) == {results["pid"]}


@pytest.mark.parametrize(
    "signum", [signal.SIGKILL, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_workers_do_not_outlive_the_main_process(tmp_path, signum):
    process = started("hang", tmp_path)
    assert process.stdout
    assert {process.stdout.readline() for _ in range(2)} == {"at work\n"}
    theirs = psutil.Process(process.pid).children(recursive=True)
    assert len(theirs) == 3  # two workers and the server that forks them
    process.send_signal(signum)
    process.wait()
    gone, left = psutil.wait_procs(theirs, timeout=30)
    assert not left
