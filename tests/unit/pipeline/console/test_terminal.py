"""Tests that output of libraries, even from C, goes to the log, and ours to the terminal.

Descriptors belong to the whole process, so each case runs in its own process.
"""

import contextlib
import os
import pty
import subprocess
import sys

SETUP = """\
import logging, os, pathlib, subprocess, sys
from pipeline.console import terminal
log = pathlib.Path(sys.argv[1])
"""


def run(code, log):
    return subprocess.run(
        [sys.executable, "-c", SETUP + code, str(log)], capture_output=True, text=True, timeout=60
    )


def test_file_descriptors_write_to_the_log_and_the_console_to_stdout(tmp_path):
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


def test_streams_are_restored_after_an_exception(tmp_path):
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


SAYS = """\
with terminal.logging_to(log) as console:
    for number in range(3):
        console.print("line", number)
print("library at exit")
raise SystemExit(7)
"""


def start(code, log, **streams):
    command = [sys.executable, "-c", SETUP + code, str(log)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **streams)


def test_a_closed_pipe_does_not_end_the_run(tmp_path):
    read, write = os.pipe()
    os.close(read)
    with start(SAYS, tmp_path / "x.log", stdout=write) as process:
        os.close(write)
        assert process.communicate()[1] == ""
    assert process.returncode == 7
    assert (tmp_path / "x.log").read_text() == "library at exit\n"


def test_output_to_a_full_disk_does_not_end_the_run(tmp_path):
    with open("/dev/full", "w") as full, start(SAYS, tmp_path / "x.log", stdout=full) as process:
        assert process.communicate()[1] == ""
    assert process.returncode == 7


def test_closed_streams_are_replaced(tmp_path):
    code = f"terminal.repair_streams()\nprint('nowhere')\nopened = open(log, 'a')\n{SAYS}"
    command = ["sh", "-c", 'exec "$@" <&- >&-', "sh", sys.executable, "-c", SETUP + code]
    log = tmp_path / "x.log"
    done = subprocess.run([*command, str(log)], stderr=subprocess.PIPE, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (7, "")
    assert log.read_text() == "library at exit\n"


def test_characters_outside_the_encoding_of_stdout_are_escaped(tmp_path):
    code = 'terminal.repair_streams()\nprint("Köln")'
    done = subprocess.run(
        [sys.executable, "-c", SETUP + code, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("K\\xf6ln\n", "")


def test_the_cursor_is_never_hidden(tmp_path):
    code = """\
from pipeline.console import node_progress
with terminal.logging_to(log) as console:
    assert console.is_terminal
    tracker = node_progress.Progress(console, ["First"])
    with tracker.shown(), tracker.running("First"):
        tracker.annotate("First", "[/v2]")
"""
    ours, theirs = pty.openpty()
    with start(code, tmp_path / "x.log", stdout=theirs) as process:
        os.close(theirs)
        said = b""
        with contextlib.suppress(OSError):  # reading a terminal without programs fails
            while part := os.read(ours, 4096):
                said += part
        assert process.communicate()[1] == ""
    os.close(ours)
    assert b"[/v2]" in said
    assert b"\x1b[?25l" not in said
