"""A push that is killed: a server sees the complete model or nothing of it."""

import os
import pathlib
import signal
import time

import forks
import pytest
from etils import epath

from models.training import export_manifest

FILES = ("saved_model.pb", "variables/variables.index", "variables/variables.data")


@pytest.mark.parametrize("copies", [1, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3))])
def test_a_killed_push_shows_no_version_and_the_next_one_is_complete(
    tmp_path: pathlib.Path, copies: int
):
    model, serving = tmp_path / "model", tmp_path / "serving"
    for name in FILES:
        (model / name).parent.mkdir(parents=True, exist_ok=True)
        (model / name).write_text(f"content of {name}")
    export_manifest.write(epath.Path(model))

    def push(*module: str) -> int:
        return forks.run(["-m", *module, str(model), str(serving)], forks.PIPELINE).returncode

    # The process dies before it copies one of the files.
    crash = f"tfx.dsl.io.fileio.copy@{copies}"
    assert push("tests.faults.crash", crash, "tests.faults.push") == -signal.SIGKILL
    [left] = serving.iterdir()
    assert not left.name.isdigit(), "a server looks at numbers alone"
    # A push is named by its second: this one becomes an earlier one's.
    second = next(part for part in left.name.split(".") if part.isdigit())
    left = left.rename(left.with_name(left.name.replace(second, str(int(second) - 1))))
    assert push("tests.faults.push") == 0
    assert left.exists(), "it might have been another run's, which goes on"
    [version] = (path for path in serving.iterdir() if path.name.isdigit())
    assert {name: (version / name).read_text() for name in FILES} == {
        name: (model / name).read_text() for name in FILES
    }

    two_days_ago = time.time() - 2 * 24 * 3600
    os.utime(left, (two_days_ago, two_days_ago))
    assert push("tests.faults.push") == 0
    assert not left.exists()
