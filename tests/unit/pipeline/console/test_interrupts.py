"""Tests that interrupts and shortages end with one line and the right exit code."""

import pathlib
import signal
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[4]
LINE = "\nInterrupted; the same command continues from where it stopped.\n"
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
COMMAND = """\
import errno, signal
from pipeline.console import command_line
app = command_line.app("", "")

@app.command()
def wait():
    {}

command_line.main(app)
"""
WAIT = "print('ready', flush=True); signal.pause()"


@pytest.fixture(autouse=True)
def heeded():
    """Restores default handling of signals that a shell's background jobs pass on as ignored."""
    ignored = [signum for signum in SIGNALS if signal.getsignal(signum) == signal.SIG_IGN]
    for signum in ignored:
        signal.signal(signum, signal.SIG_DFL)
    yield
    for signum in ignored:
        signal.signal(signum, signal.SIG_IGN)


def start(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        **options,
    )


def interrupted(process, signum) -> tuple[int, str, str]:
    with process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signum)
        try:
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, rest, errors


@pytest.mark.parametrize("signum", SIGNALS)
def test_an_interrupted_command_ends_with_130(signum):
    assert interrupted(start("-c", COMMAND.format(WAIT)), signum) == (130, "", LINE)


@pytest.mark.parametrize("runner", ["local_runner.py", "kubeflow_runner.py"])
@pytest.mark.parametrize("signum", SIGNALS)
def test_an_interrupt_during_the_first_imports_ends_the_runner(tmp_path, runner, signum):
    (tmp_path / "typer.py").write_text(f"import signal\n{WAIT}\n")
    process = start(runner, env={"PYTHONPATH": str(tmp_path)})
    assert interrupted(process, signum) == (130, "", LINE)


def test_an_interrupt_that_a_library_turns_into_another_error():
    code = f"""\
try:
        {WAIT}
    except KeyboardInterrupt:
        raise ImportError("numpy.core.multiarray failed to import")"""
    assert interrupted(start("-c", COMMAND.format(code)), signal.SIGINT) == (130, "", LINE)


def test_the_second_interrupt_kills_a_command_that_swallowed_the_first():
    code = f"""\
try:
        {WAIT}
    except KeyboardInterrupt:
        print("ready", flush=True)
        signal.pause()"""
    process = start("-c", COMMAND.format(code))
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert interrupted(process, signal.SIGTERM) == (-signal.SIGTERM, "", "")


def test_ignored_signals_stay_ignored():
    """Signals ignored at the start, as under `nohup`, stay ignored."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        process = start("-c", COMMAND.format(f"{WAIT}; print('at the end')"))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == ("", LINE)
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("OSError(errno.ENOSPC, 'x', '/w/f')", "/w/f: the disk is full; free some space"),
        ("OSError(errno.EMFILE, 'x')", "too many open files; raise the limit (`ulimit -n 4096`)"),
        (
            "MemoryError()",
            "not enough memory; end other programs, or raise the limit (`ulimit -v`)",
        ),
        (
            "ImportError('x.so: failed to map segment from shared object')",
            "not enough memory; end other programs, or raise the limit (`ulimit -v`)",
        ),
    ],
)
def test_shortages_are_explained(error, line):
    with start("-c", COMMAND.format(f"raise {error}")) as process:
        said = process.communicate(timeout=60)
    assert said == ("", f"{line}, then run the same command again to continue\n")
    assert process.returncode == 1


def test_other_errors_keep_their_trace():
    with start("-c", COMMAND.format("raise ImportError('no module')")) as process:
        assert "Traceback" in process.communicate(timeout=60)[1]
    assert process.returncode == 1
