"""What libraries write goes to the log, from whatever level; what we say goes to the terminal.

Descriptors belong to the whole process, so each case has one of its own.
"""

import subprocess
import sys

SETUP = """\
import logging, os, pathlib, subprocess, sys
from pipeline import terminal
log = pathlib.Path(sys.argv[1])
"""


def run(code, log):
    return subprocess.run(
        [sys.executable, "-c", SETUP + code, str(log)], capture_output=True, text=True, timeout=60
    )


def test_descriptors_go_to_the_log_and_the_console_to_stdout(tmp_path):
    log = tmp_path / "x.log"
    log.write_text("before\n")
    code = """\
print("early")
with terminal.logging_to(log) as console:
    os.write(1, b"from C, out\\n"); os.write(2, b"from C, err\\n")
    print("from print", flush=True)
    logging.getLogger("lib").warning("from logging")
    subprocess.run(["echo", "from a child"])
    console.print("for the user")
print("library at exit")
"""
    done = run(code, log)
    assert (done.returncode, done.stdout, done.stderr) == (0, "early\nfor the user\n", "")
    lines = log.read_text().splitlines()
    assert lines[0] == "before"
    assert set(lines[1:]) == {
        "from C, out",
        "from C, err",
        "from print",
        "from logging",
        "from a child",
        "library at exit",
    }


def test_an_exception_has_the_streams_back(tmp_path):
    log = tmp_path / "x.log"
    code = """\
try:
    with terminal.logging_to(log) as console:
        print("unflushed")
        raise KeyError("x")
except KeyError:
    print("out again"); print("err again", file=sys.stderr); os.write(1, b"")
raise SystemExit(7)
"""
    done = run(code, log)
    assert (done.returncode, done.stdout, done.stderr) == (7, "out again\n", "err again\n")
    assert log.read_text() == "unflushed\n"


def test_no_descriptor_is_left_open(tmp_path):
    code = """\
count = lambda: len(os.listdir("/proc/self/fd"))
before = count()
for _ in range(3):
    try:
        with terminal.logging_to(log):
            raise KeyError
    except KeyError:
        pass
print(count() - before)
"""
    assert run(code, tmp_path / "x.log").stdout == "0\n"
