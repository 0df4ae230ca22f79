"""One run at a time in a workspace, and where things are in it."""

import subprocess
import sys

import pytest

from pipeline.errors import UserError
from pipeline.workspace import Workspace


def test_everything_is_below_the_root(tmp_path):
    workspace = Workspace(tmp_path / "w")
    places = ["artifacts", "metadata", "training", "serving", "logs"]
    paths = [getattr(workspace, place) for place in places]
    assert all(path.parent == workspace.root for path in paths)
    assert len(set(paths)) == len(places)
    assert not workspace.root.exists()


def test_a_new_log_can_be_written_at_once(tmp_path):
    log = Workspace(tmp_path / "w").new_log("run")
    log.write_text("x")
    assert log.name.endswith("-run.log")


def test_a_second_holder_is_refused_until_the_first_is_done(tmp_path):
    workspace = Workspace(tmp_path / "w")
    with workspace.locked():
        second = Workspace(tmp_path / "w").locked()
        with pytest.raises(UserError, match="another run is using it; wait") as caught, second:
            pytest.fail("was held twice")
        assert str(workspace.root) in str(caught.value)
        with Workspace(tmp_path / "other").locked():
            pass
    with workspace.locked():
        pass


def test_an_error_releases_it(tmp_path):
    workspace = Workspace(tmp_path)
    with pytest.raises(RuntimeError), workspace.locked():
        raise RuntimeError
    with workspace.locked():
        pass


def test_the_death_of_its_holder_releases_it(tmp_path):
    code = (
        "import pathlib, sys; from pipeline.workspace import Workspace\n"
        "with Workspace(pathlib.Path(sys.argv[1])).locked():\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout and holder.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another run"), Workspace(tmp_path).locked():
            pass
        holder.kill()
        holder.wait()
        with Workspace(tmp_path).locked():
            pass


@pytest.mark.parametrize("use", [lambda w: w.locked().__enter__(), lambda w: w.new_log("predict")])
def test_a_root_that_cannot_be_written(tmp_path, use):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        use(Workspace(tmp_path / "file" / "w"))
    assert str(caught.value) == (
        f"workspace {tmp_path}/file/w: cannot be written: Not a directory; choose another with "
        "--workspace"
    )
