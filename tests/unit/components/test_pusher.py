"""A version appears whole, once, and only if it was blessed."""

import os
import pathlib

import pytest
import tensorflow as tf
from etils import epath
from tfx.types import standard_artifacts
from tiny_model import artifact

from components.pusher import executor


class Setting:
    """A model, its blessing, and a serving directory."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.serving = folder, folder / "serving"
        self.model = artifact(standard_artifacts.Model, folder / "model", 1)
        export = folder / "model" / "Format-Serving"
        for name in ("saved_model.pb", "variables/variables.index", "assets.extra/label.json"):
            (export / name).parent.mkdir(parents=True, exist_ok=True)
            (export / name).write_text(f"content of {name}")
        self.export = tree(export)

    def push(self, blessed: bool = True):
        blessing = artifact(standard_artifacts.ModelBlessing, self.folder / "blessing", 2)
        blessing.set_int_custom_property("blessed", int(blessed))
        for path in (self.folder / "blessing").iterdir():
            path.unlink()
        (self.folder / "blessing" / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
        number = len(list(self.folder.glob("pushed-*")))
        pushed = artifact(standard_artifacts.PushedModel, self.folder / f"pushed-{number}", 3)
        executor.Executor().Do(
            {"model": [self.model], "model_blessing": [blessing]},
            {"pushed_model": [pushed]},
            {"directory": str(self.serving)},
        )
        return pushed

    def versions(self) -> list[str]:
        return sorted(path.name for path in self.serving.iterdir() if path.name.isdigit())


def tree(folder: pathlib.Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def setting(tmp_path) -> Setting:
    return Setting(tmp_path)


def test_a_blessed_model_is_pushed_whole(setting):
    pushed = setting.push()
    [version] = setting.versions()
    assert tree(setting.serving / version) == setting.export
    assert tree(pathlib.Path(pushed.uri)) == setting.export
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_version") == version
    assert pushed.get_string_custom_property("pushed_destination") == str(setting.serving / version)
    assert [path.name for path in setting.serving.iterdir()] == [version], "nothing is left beside"


def test_a_model_that_is_deployed_already_makes_no_new_version(setting):
    identity = setting.folder / "model" / "Format-Serving" / "assets.extra" / "identity.json"
    identity.write_text('{"training": "a", "checkpoint": "model.ckpt-100"}')
    first = setting.push()
    # Exported again: the same weights, a graph with its parts in another order.
    (setting.folder / "model" / "Format-Serving" / "saved_model.pb").write_text("of content")
    again = setting.push()
    assert len(setting.versions()) == 1
    for name in ("pushed", "pushed_destination", "pushed_version"):
        assert again.get_custom_property(name) == first.get_custom_property(name)
    identity.write_text('{"training": "a", "checkpoint": "model.ckpt-200"}')
    setting.push()
    assert len(setting.versions()) == 2


def test_a_model_that_is_not_blessed_is_not_pushed(setting):
    pushed = setting.push(blessed=False)
    assert not setting.serving.exists() or not list(setting.serving.iterdir())
    assert pushed.get_int_custom_property("pushed") == 0


def test_pushes_within_a_second_are_versions_of_their_own(setting, monkeypatch):
    monkeypatch.setattr(executor.time, "time", lambda: 1_700_000_000.9)
    for _ in range(3):
        setting.push()
    assert setting.versions() == ["1700000000", "1700000001", "1700000002"]


def test_a_version_is_above_all_others_even_if_the_clock_was_set_back(setting):
    (setting.serving / "99999999999").mkdir(parents=True)
    setting.push()
    assert setting.versions() == ["100000000000", "99999999999"]
    assert tree(setting.serving / "99999999999") == {}, "what is served stays as it is"


@pytest.mark.parametrize("killed_in", ["copy_dir", "rename"])
def test_a_push_that_was_killed_leaves_no_version(setting, monkeypatch, killed_in):
    monkeypatch.setattr(executor.time, "time", lambda: 1_700_000_000.0)
    real = executor.io_utils.copy_dir

    def killed(source, target, *rest, **options):
        if killed_in == "copy_dir":
            real(source, target, *rest, **options)
            next(path for path in pathlib.Path(target).rglob("*") if path.is_file()).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(executor.io_utils if killed_in == "copy_dir" else os, killed_in, killed)
        with pytest.raises(KeyboardInterrupt):
            setting.push()
    assert setting.versions() == []
    (setting.serving / ".1700000000.partial" / "leftover").write_text("of another model")
    setting.push()
    [version] = setting.versions()
    assert tree(setting.serving / version) == setting.export


@pytest.fixture
def bucket(store, tmp_path) -> str:
    """A bucket of the test's own, which has an exported model."""
    name = tmp_path.name.replace("_", "-")
    for file in ("saved_model.pb", "variables/variables.index", "assets.extra/label.json"):
        with tf.io.gfile.GFile(f"gs://{name}/model/{file}", "w") as content:
            content.write(f"content of {file}")
    return name


def push(bucket: str) -> epath.Path:
    return executor.deploy(epath.Path(f"gs://{bucket}/model"), epath.Path(f"gs://{bucket}/serving"))


def files(store, bucket: str, version: str) -> list[str]:
    below = f"serving/{version}/"
    names = (name.removeprefix(below) for name in store.written(bucket, below))
    return [name for name in names if name and not name.endswith("/")]


def test_in_an_object_store_the_graph_comes_last(store, bucket):
    version = push(bucket)
    assert str(version).startswith(f"gs://{bucket}/serving/")
    written = files(store, bucket, version.name)
    assert sorted(written) == [
        "assets.extra/label.json",
        "saved_model.pb",
        "variables/variables.index",
    ]
    assert written[-1] == "saved_model.pb"
    assert (version / "variables" / "variables.index").read_text() == (
        "content of variables/variables.index"
    )
    assert int(push(bucket).name) > int(version.name)


@pytest.mark.parametrize("last", ["variables.index", "saved_model.pb"])
def test_in_an_object_store_a_push_that_was_cut_short_cannot_be_loaded(store, bucket, last):
    store.refuse(f"^serving/.*{last}$")
    with pytest.raises(tf.errors.PermissionDeniedError):
        push(bucket)
    [left] = epath.Path(f"gs://{bucket}/serving").iterdir()
    assert left.name.isdigit() and "saved_model.pb" not in files(store, bucket, left.name)
    store.refuse("")
    version = push(bucket)
    assert int(version.name) > int(left.name), "what is left is not mixed with another push"
    assert len(files(store, bucket, version.name)) == 3
