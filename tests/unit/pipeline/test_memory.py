"""A run's memory, with a process that does take it."""

import os
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest

from pipeline import memory

MB = 1 << 20
HOLDS = f"""
held = b"1" * (300 * {MB})
print("ready", flush=True)
input()
"""


@pytest.fixture
def child():
    """A process that holds 300 MB, from the moment on at which it is asked to begin."""
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


def own_mb() -> int:
    return psutil.Process(os.getpid()).memory_info().rss // MB


def test_the_most_that_was_held_is_known_and_that_of_processes_it_started_too(child):
    with memory.Watch(None) as watch:
        begin(child)
        before = own_mb()
        deadline = time.monotonic() + 30
        while watch.peak_mb < before + 290:
            assert time.monotonic() < deadline, watch
            os.sched_yield()
    assert watch.peak_mb < own_mb() + 600
    assert str(watch) == f"at most {watch.peak_mb:,} MB of memory"
    assert not watch.is_exceeded


@pytest.fixture(params=[signal.SIG_DFL, signal.SIG_IGN], ids=["terminal", "background job"])
def started_in(request):
    """How Ctrl-C's signal is handled where a shell starts a process."""
    before = signal.signal(signal.SIGINT, request.param)
    yield
    signal.signal(signal.SIGINT, before)


def test_at_the_bound_what_the_main_thread_waits_for_is_interrupted(started_in, child):
    bound = own_mb() + 200
    watch = memory.Watch(bound)
    with pytest.raises(memory.TooMuchMemory), watch:
        begin(child)
        assert not threading.Event().wait(timeout=30), "nobody sets it"
    assert watch.is_exceeded
    assert watch.peak_mb > bound
    assert f" of {bound:,} MB" in str(watch)


def test_an_interrupt_that_somebody_swallows_comes_again(child):
    with pytest.raises(memory.TooMuchMemory), memory.Watch(own_mb() + 200):
        begin(child)
        for swallows in (True, False):
            try:
                assert not threading.Event().wait(timeout=30), "nobody sets it"
            except memory.TooMuchMemory:
                if not swallows:
                    raise
