"""Tests of the memory watch, with a process that really holds memory."""

import signal
import subprocess
import sys
import threading

import pytest

from pipeline.local import memory_bound

MB = 1 << 20
HOLDS = f"""
held = b"1" * (300 * {MB})
print("ready", flush=True)
input()
"""


@pytest.fixture
def child():
    """Starts a process that holds 300 MB once it is told to begin."""
    command = [sys.executable, "-c", f"input()\n{HOLDS}"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


def begin(child: subprocess.Popen) -> None:
    assert child.stdin and child.stdout
    child.stdin.write("\n")
    child.stdin.flush()
    assert child.stdout.readline() == "ready\n"


WATCHES = f"""
import os, subprocess, sys, time

from pipeline.local import memory_bound

own = memory_bound.held_mb(memory_bound.of_run())
with memory_bound.Watch(None) as watch:
    holds = subprocess.Popen([sys.executable, "-c", {HOLDS!r}], stdin=-1, stdout=-1)
    holds.stdout.readline()
    deadline = time.monotonic() + 30
    while watch.peak_mb < own + 290 and time.monotonic() < deadline:
        os.sched_yield()
    holds.kill()
print(own, watch.peak_mb, watch.is_exceeded, watch, sep="|")
"""


def test_the_peak_includes_child_processes():
    # In a separate process, so that processes started by other tests do not count.
    command = [sys.executable, "-c", WATCHES]
    said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    own, peak, is_exceeded, watch = said.strip().split("|")
    assert int(own) + 290 < int(peak) < int(own) + 400
    assert watch == f"at most {int(peak):,} MB of memory"
    assert is_exceeded == "False"


@pytest.fixture(params=[signal.SIG_DFL, signal.SIG_IGN], ids=["terminal", "background job"])
def started_in(request):
    """Sets the handling of SIGINT to what a shell gives the processes that it starts."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_bound_interrupts_a_blocking_call_of_the_main_thread(started_in, child):
    bound = memory_bound.held_mb(memory_bound.of_run()) + 200
    watch = memory_bound.Watch(bound)
    with pytest.raises(memory_bound.TooMuchMemory), watch:
        begin(child)
        assert not threading.Event().wait(timeout=30), "nobody sets it"
    assert watch.is_exceeded
    assert watch.peak_mb > bound
    assert f" of {bound:,} MB" in str(watch)


def test_a_swallowed_interrupt_is_repeated(child):
    with (
        pytest.raises(memory_bound.TooMuchMemory),
        memory_bound.Watch(memory_bound.held_mb(memory_bound.of_run()) + 200),
    ):
        begin(child)
        for swallows in (True, False):
            try:
                assert not threading.Event().wait(timeout=30), "nobody sets it"
            except memory_bound.TooMuchMemory:
                if not swallows:
                    raise
