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
def test_a_root_that_cannot_be_written(tmp_path, use):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError) as caught:
        use(Workspace(tmp_path / "file" / "w"))
    assert str(caught.value) == (
        f"workspace {tmp_path}/file/w: cannot be written: Not a directory; choose another with "
        "--workspace"
    )


@pytest.mark.parametrize("folder", ["artifacts", "training", "serving", "logs", "tmp"])
def test_a_file_or_a_dangling_link_in_the_place_of_a_folder(tmp_path, folder):
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


def test_a_root_that_is_a_dangling_link(tmp_path):
    (tmp_path / "w").symlink_to(tmp_path / "unmounted")
    with pytest.raises(UserError, match="leads to .*unmounted, which does not exist; restore that"):
        Workspace(tmp_path / "w").new_log("run")


def test_a_damaged_store_is_refused_where_the_workspace_is_taken(tmp_path):
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


def test_what_a_killed_process_left_is_removed_and_what_another_uses_is_not(tmp_path):
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
def test_an_odd_path_has_a_plain_one_while_it_is_used(tmp_path, name):
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
def test_a_folder_has_a_plain_path_while_it_is_read(tmp_path, name):
    folder = tmp_path / name
    folder.mkdir()
    (folder / "variables.index").touch()
    with workspace_lib.plain_folder(folder) as plain:
        found = glob.glob(f"{plain}/variables.index")  # as TensorFlow does
        assert len(found) == 1
        assert (plain == folder) == (name == "plain")
    assert plain.parent.exists() == (name == "plain")


def test_a_link_of_a_killed_run_is_used_again_and_a_wrong_one_is_not(tmp_path):
    workspace = Workspace(tmp_path / "[v1]")
    workspace.new_log("run")
    with workspace.plain() as plain:
        link = plain.root
        link.unlink()
        link.symlink_to(tmp_path)
        with workspace.plain() as again:
            assert again.root == link and link.samefile(workspace.root)


def test_a_directory_of_links_that_another_user_made_is_not_trusted(tmp_path, monkeypatch):
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
