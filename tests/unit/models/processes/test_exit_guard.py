"""Tests that a process that exits too early does not look successful."""

import subprocess
import sys

import pytest

GUARDED = """
import os, sys, threading
from models.processes import exit_guard
with exit_guard.guarded(lambda text: print(text, flush=True)):
    {code}
print("came to its end")
"""


def ended(code: str) -> tuple[int, str]:
    command = [sys.executable, "-c", GUARDED.format(code=code)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    "code",
    [
        "os._exit(0)",
        "from os import _exit; _exit(0)",
        "threading.Thread(target=os._exit, args=[0]).start(); threading.Event().wait()",
    ],
)
def test_exit_code_0_without_a_verdict_becomes_1(code):
    found, said = ended(code)
    assert found == 1
    assert "os._exit(0) ended the run before its verdict; raise an exception" in said
    assert said.count("\n") == 1


def test_other_exit_codes_and_child_processes_are_unaffected():
    assert ended("os._exit(130)") == (130, "")
    child = "pid = os.fork()\n    if not pid: os._exit(0)\n    print(os.waitpid(pid, 0)[1])"
    assert ended(child) == (0, "0\ncame to its end\n")


def test_os_exit_is_restored_afterwards():
    assert ended("pass\nos._exit(0)") == (0, "")
