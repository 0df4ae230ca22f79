"""Tests of a workspace: its lock, its paths and its temporary files."""

import glob
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import pytest

from models.errors import UserError
from pipeline.storage import workspace as workspace_lib
from pipeline.storage.workspace import Workspace


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


def test_a_locked_workspace_is_refused_until_it_is_released(tmp_path):
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


def test_an_error_releases_the_lock(tmp_path):
    workspace = Workspace(tmp_path)
    with pytest.raises(RuntimeError), workspace.locked():
        raise RuntimeError
    with workspace.locked():
        pass


def test_the_end_of_the_process_releases_the_lock(tmp_path):
    code = (
        "import pathlib, sys; from pipeline.storage.workspace import Workspace\n"
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
def test_an_unwritable_root_is_refused(tmp_path, use):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        use(Workspace(tmp_path / "file" / "w"))
    assert str(caught.value) == (
        f"workspace {tmp_path}/file/w: cannot be written: Not a directory; choose another with "
        "--workspace"
    )


@pytest.mark.parametrize("folder", ["artifacts", "training", "serving", "logs", "tmp"])
def test_a_file_or_dangling_link_instead_of_a_folder_is_refused(tmp_path, folder):
    workspace = Workspace(tmp_path)
    (tmp_path / folder).write_text("")
    with pytest.raises(UserError) as caught, workspace.locked():
        pass
    where = f"workspace {tmp_path}: {folder}"
    end = "choose another with --workspace"
    assert str(caught.value) == f"{where} is a file, expected a folder; move it away, or {end}"

    (tmp_path / folder).unlink()
    (tmp_path / folder).symlink_to("/gone")
    with pytest.raises(UserError) as caught, workspace.locked():
        pass
    assert str(caught.value) == (
        f"{where} leads to /gone, which does not exist; restore that, remove the link, or {end}"
    )


def test_a_dangling_link_as_root_is_refused(tmp_path):
    (tmp_path / "w").symlink_to(tmp_path / "unmounted")
    with pytest.raises(UserError, match="leads to .*unmounted, which does not exist; restore that"):
        Workspace(tmp_path / "w").new_log("run")


def test_locking_a_workspace_checks_its_store(tmp_path):
    (tmp_path / "metadata.sqlite").mkdir()
    with (
        pytest.raises(UserError, match="expected the metadata store"),
        Workspace(tmp_path).locked(),
    ):
        pass


def test_temporary_files_are_removed_with_their_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/does/not/exist")
    before = tempfile.gettempdir()
    workspace = Workspace(tmp_path)
    with workspace.temporary() as own:
        assert tempfile.mkdtemp().startswith(str(own))
        child = "import tempfile; tempfile.mkdtemp(); print(tempfile.gettempdir())"
        said = subprocess.run([sys.executable, "-c", child], capture_output=True, text=True)
        assert said.stdout == f"{own}\n"
    assert list(workspace.scratch.iterdir()) == []
    assert os.environ["TMPDIR"] == "/does/not/exist"
    assert tempfile.gettempdir() == before


def test_only_files_of_ended_processes_are_removed(tmp_path):
    code = (
        "import pathlib, sys; from pipeline.storage.workspace import Workspace\n"
        "with Workspace(pathlib.Path(sys.argv[1])).temporary() as own:\n"
        "    print(own, flush=True); sys.stdin.read()"
    )
    workspace = Workspace(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout
        left = pathlib.Path(other.stdout.readline().strip())
        (left / "file").touch()
        with workspace.temporary() as own:
            assert set(workspace.scratch.iterdir()) == {left, own}
        other.kill()
        other.wait()
        assert (left / "file").exists()
        with workspace.temporary() as own:
            assert list(workspace.scratch.iterdir()) == [own]


def test_a_plain_path_is_used_as_it_is(tmp_path):
    workspace = Workspace(tmp_path / "w-1.0_x")
    with workspace.plain() as plain:
        assert plain == workspace
    assert workspace.plain_path(tmp_path) == tmp_path


ODD = ["[v1]", "*", "what?", "{a}", "#1", "100%", "a b", 'it\'s "x"', "größer", "a,b", "a:b", "\\"]


@pytest.mark.parametrize("name", ODD)
def test_an_odd_path_gets_a_plain_link_while_in_use(tmp_path, name):
    workspace = Workspace(tmp_path / name)
    with workspace.locked(), workspace.plain() as plain, plain.temporary() as own:
        assert re.fullmatch("[a-z0-9/-]+", str(plain.root))
        (own / "file").touch()
        plain.artifacts.mkdir()
        assert workspace.artifacts.is_dir()
        first = plain.root
        data = tmp_path / name / "data"
        data.mkdir()
        assert plain.plain_path(data) == plain.root / ".data"
        assert plain.plain_path(data).samefile(data)
    assert not first.is_symlink()
    with workspace.plain() as plain:
        assert plain.root == first
    with Workspace(tmp_path / f"{name}2").plain() as other:
        assert other.root != first


@pytest.mark.parametrize("name", ["plain", *ODD])
def test_a_folder_gets_a_plain_link_while_it_is_read(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "variables.index").touch()
    with workspace_lib.plain_folder(folder) as plain:
        found = glob.glob(f"{plain}/variables.index")  # as TensorFlow does
        assert len(found) == 1
        assert (plain == folder) == (name == "plain")
    assert plain.parent.exists() == (name == "plain")


def test_a_left_link_is_reused_and_a_wrong_one_replaced(tmp_path):
    workspace = Workspace(tmp_path / "[v1]")
    workspace.new_log("run")
    with workspace.plain() as plain:
        link = plain.root
        link.unlink()
        link.symlink_to(tmp_path)
        with workspace.plain() as again:
            assert again.root == link and link.samefile(workspace.root)


def test_links_in_another_users_directory_are_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    link = workspace_lib._link_of(tmp_path / "[v1]").parent
    link.mkdir()
    try:
        with (
            pytest.raises(UserError, match="belongs to another user"),
            Workspace(tmp_path / "[v1]").plain(),
        ):
            pass
    finally:
        link.rmdir()
