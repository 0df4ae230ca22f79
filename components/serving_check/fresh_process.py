"""Runs an export in a fresh process, which has none of our modules or the user's."""

import base64
import functools
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from packaging.requirements import Requirement
from tfx.utils import io_utils

PROGRAM = pathlib.Path(__file__).with_name("program.py")
_KEPT = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT", "TMPDIR", "LANG")
"""Variables a process cannot do without; PYTHONPATH, TF_CONFIG and others are not passed on."""
_SETTINGS = {"CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2", "OMP_NUM_THREADS": "1"}


class NoAnswer(Exception):
    """The process ended without an answer; the message is the end of a sentence on the model."""


def ask(export: str, examples: Sequence[bytes], alone: int, seconds: int) -> dict[str, Any]:
    """Calls a copy of an export from an empty directory.

    Args:
        export: directory of a SavedModel.
        examples: serialized examples.
        alone: how many of them, from the end, to send one by one too.
        seconds: time limit for the process.

    Returns:
        The answer, see `program`.

    Raises:
        NoAnswer: the process took too long or died.
    """
    # The process ends itself by an alarm: otherwise a hanging one would outlive a killed run.
    with tempfile.TemporaryDirectory(prefix="serving-check-") as folder:
        copy, request, answer = (
            pathlib.Path(folder, name) for name in ("model", "request.json", "answer.json")
        )
        io_utils.copy_dir(export, str(copy))
        content = {
            "export": str(copy),
            "examples": [base64.b64encode(example).decode() for example in examples],
            "alone": alone,
            "seconds": seconds,
        }
        request.write_text(json.dumps(content), encoding="utf-8")
        empty = pathlib.Path(folder, "empty")
        empty.mkdir()
        done = subprocess.run(
            [sys.executable, "-I", str(PROGRAM), str(request), str(answer), *library_folders()],
            cwd=empty,
            env={name: os.environ[name] for name in _KEPT if name in os.environ} | _SETTINGS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            check=False,
        )
        if done.returncode == 0 and answer.exists():
            return json.loads(answer.read_text(encoding="utf-8"))
    if done.returncode == -signal.SIGALRM:
        raise NoAnswer(f"did not answer {len(examples)} examples within {seconds} s")
    raise NoAnswer(f"ended the process {_way(done.returncode)}{_last_line(done.stderr)}")


@functools.cache
def library_folders() -> tuple[str, ...]:
    """Returns where TensorFlow and its requirements are installed, in the order of `sys.path`."""
    folders, pending, seen = set(), ["tensorflow"], set()
    while pending:
        name = pending.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # required on other machines
            continue
        folders.add(str(distribution.locate_file("")))
        required = map(Requirement, distribution.requires or ())
        pending += [
            requirement.name
            for requirement in required
            if requirement.marker is None or requirement.marker.evaluate()
        ]
    return tuple(folder for folder in sys.path if folder in folders)


def _way(code: int) -> str:
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"


def _last_line(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    return f": {lines[-1][:200]}" if lines else ""
