"""The server of forks runs programs as a fresh interpreter would."""

import os
import signal
import subprocess
import sys

import forks
import pytest

PROGRAM = """
import os, sys
print(sys.argv, os.getcwd(), os.environ.get("SAID"), __name__)
print("json" in sys.modules, file=sys.stderr)
sys.exit(7)
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    """Returns the name of a program in the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    return "program"


@pytest.mark.parametrize("form", ["{}.py", "-m {}"])
def test_a_program_sees_what_a_fresh_interpreter_shows_it(program, monkeypatch, form):
    monkeypatch.setenv("SAID", "yes")
    arguments = [*form.format(program).split(), "--one", "a b"]
    fresh = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    forked = forks.run(arguments, ["json.tool"])
    assert (forked.returncode, forked.stdout) == (7, fresh.stdout)
    assert (fresh.stderr, forked.stderr) == ("False\n", "True\n")


def test_an_error_has_its_trace_and_code(program):
    done = forks.run(["-m", "no_such_program"], [])
    assert done.returncode == 1
    assert "No module named no_such_program" in done.stderr


def test_a_module_to_preload_that_fails_is_named(program):
    with pytest.raises(AssertionError, match="No module named 'no_such_module'"):
        forks.run(["-m", program], ["no_such_module"])


def test_a_process_is_waited_for_and_killed(tmp_path):
    (tmp_path / "sleeps.py").write_text("import time; time.sleep(60)")
    with open(os.devnull, "w") as nowhere:
        process = forks.Process(
            [str(tmp_path / "sleeps.py")], [], nowhere, nowhere, start_new_session=True
        )
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    assert os.getpgid(process.pid) == process.pid
    process.kill()
    assert process.wait(10) == process.poll() == -signal.SIGKILL
