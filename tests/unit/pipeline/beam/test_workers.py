"""Tests of the worker processes of Beam's steps."""

import contextlib
import json
import os
import pathlib
import signal
from collections.abc import Iterator
from typing import IO

import forks
import psutil
import pytest

PROGRAM = "tests.unit.pipeline.beam.with_workers"


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> dict:
    """Returns the output of `with_workers.py main`."""
    folder = tmp_path_factory.mktemp("workers")
    with started("main", folder) as (process, output):
        found = output.read()
        assert process.wait() == 0, (folder / "errors").read_text()[-3000:]
    return json.loads(found)


@contextlib.contextmanager
def started(what: str, folder: pathlib.Path) -> Iterator[tuple[forks.Process, IO[str]]]:
    """Context manager: starts the program; yields its process and its output."""
    # Workers must talk to each other without a proxy; this one refuses everything.
    proxies = dict.fromkeys(["http_proxy", "https_proxy", "grpc_proxy"], "http://127.0.0.1:9")
    reading, writing = os.pipe()
    with open(reading) as output, (folder / "errors").open("w") as errors:
        with open(writing, "w") as out:
            process = forks.Process(
                ["-m", PROGRAM, what, str(folder)],
                forks.PIPELINE,
                out,
                errors,
                {**os.environ, **proxies},
            )
        try:
            yield process, output
        finally:
            process.kill()


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
    with started("hang", tmp_path) as (process, output):
        assert {output.readline() for _ in range(2)} == {"at work\n"}
        theirs = psutil.Process(process.pid).children(recursive=True)
        assert len(theirs) == 3  # two workers and the server that forks them
        process.send_signal(signum)
        process.wait()
    gone, left = psutil.wait_procs(theirs, timeout=30)
    assert not left
