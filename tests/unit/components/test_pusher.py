"""Tests that a version appears complete, once, and only if it was blessed."""

import datetime
import json
import multiprocessing
import os
import pathlib
import shutil
import time

import pytest
import tensorflow as tf
from etils import epath
from tfx.types import standard_artifacts
from tiny_model import artifact

from components import deployments
from components.deployments import Deployment
from components.pusher import driver, executor
from models.training import export_manifest


class Setting:
    """A model, its blessing, and a serving directory that settings may share."""

    def __init__(self, folder: pathlib.Path, serving: pathlib.Path | None = None):
        self.folder, self.serving = folder, serving or folder / "serving"
        self.model = artifact(standard_artifacts.Model, folder / "model", 1)
        self.train("a")

    def train(self, name: str | None) -> None:
        """Replaces the model by another one; without a name it lacks an identity."""
        export = self.folder / "model" / "Format-Serving"
        shutil.rmtree(export, ignore_errors=True)
        identity = (
            {} if name is None else {"assets.extra/identity.json": f'{{"training": "{name}"}}'}
        )
        for file, text in {
            "saved_model.pb": f"graph of {name}",
            "variables/variables.index": f"weights of {name}",
            "assets.extra/label.json": "{}",
            **identity,
        }.items():
            (export / file).parent.mkdir(parents=True, exist_ok=True)
            (export / file).write_text(text)
        export_manifest.write(epath.Path(export))
        self.export = tree(export)

    def push(self, blessed: bool = True, compared: str | None = "now", set_aside: str = ""):
        """Pushes the model; by default it was compared with the currently deployed one."""
        blessing = artifact(standard_artifacts.ModelBlessing, self.folder / "blessing", 2)
        blessing.set_int_custom_property("blessed", int(blessed))
        for path in (self.folder / "blessing").iterdir():
            path.unlink()
        (self.folder / "blessing" / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
        evaluation = artifact(standard_artifacts.ModelEvaluation, self.folder / "evaluation", 4)
        if compared == "now":
            compared = max(self.versions(), key=int, default=None)
        baseline = {"version": compared, "problem": "", "set_aside": set_aside}
        (self.folder / "evaluation" / "verdict.json").write_text(json.dumps({"baseline": baseline}))
        number = len(list(self.folder.glob("pushed-*")))
        pushed = artifact(standard_artifacts.PushedModel, self.folder / f"pushed-{number}", 3)
        executor.Executor().Do(
            {"model": [self.model], "model_blessing": [blessing], "evaluation": [evaluation]},
            {"pushed_model": [pushed]},
            {"directory": str(self.serving)},
        )
        return pushed

    def versions(self) -> list[str]:
        paths = self.serving.iterdir() if self.serving.exists() else ()
        return sorted(path.name for path in paths if path.name.isdigit())

    def deployments(self) -> list[Deployment]:
        return list(deployments.read(epath.Path(self.serving)))


def tree(folder: pathlib.Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def setting(tmp_path) -> Setting:
    return Setting(tmp_path)


def test_a_blessed_model_is_pushed_with_all_its_files(setting):
    pushed = setting.push()
    [version] = setting.versions()
    assert tree(setting.serving / version) == setting.export
    assert tree(pathlib.Path(pushed.uri)) == setting.export
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_version") == version
    assert pushed.get_string_custom_property("pushed_destination") == str(setting.serving / version)
    names = sorted(path.name for path in setting.serving.iterdir())
    assert names == [".deployments.lock", version, "deployments.json"], "nothing else is left"
    (entry,) = setting.deployments()
    assert (entry.version, entry.why) == (version, "blessed; nothing else was deployed")
    assert (entry.model, entry.compared_with) == ('{"training": "a"}', None)
    assert entry.checksums == export_manifest.digest(epath.Path(setting.serving / version))
    when = datetime.datetime.fromisoformat(entry.deployed_at)
    assert abs(when.timestamp() - time.time()) < 60 and when.utcoffset() is not None


def test_a_model_that_serves_already_is_not_pushed_again(setting):
    first = setting.push()
    # Another export with the same weights, but with the parts of its graph in another order.
    export = setting.folder / "model" / "Format-Serving"
    (export / "saved_model.pb").write_text("a of graph")
    export_manifest.write(epath.Path(export))
    again = setting.push()
    assert len(setting.versions()) == len(setting.deployments()) == 1
    for name in ("pushed", "pushed_destination", "pushed_version"):
        assert again.get_custom_property(name) == first.get_custom_property(name)
    assert [made.get_int_custom_property("unchanged") for made in (first, again)] == [0, 1]
    setting.train("b")
    setting.push()
    assert len(setting.versions()) == 2


def test_a_model_that_replaces_another_is_a_new_version(setting, monkeypatch):
    monkeypatch.setattr(executor.time, "time", lambda: 100.0)
    for name in ("a", "a", "b", "b", "a", "a", "a"):
        setting.train(name)
        setting.push()
    assert setting.versions() == ["100", "101", "102"]
    entries = [(entry.version, entry.model, entry.why) for entry in setting.deployments()]
    assert entries == [
        ("100", '{"training": "a"}', "blessed; nothing else was deployed"),
        ("101", '{"training": "b"}', "blessed; compared with version 100"),
        ("102", '{"training": "a"}', "blessed; compared with version 101"),
    ]


def test_the_reason_for_setting_a_baseline_aside_is_recorded(setting):
    setting.push()
    setting.train("b")
    setting.push(set_aside="a column was renamed")
    (first, second) = setting.deployments()
    assert second.why == f"blessed; version {first.version} was set aside: a column was renamed"
    assert second.compared_with == first.version


def test_a_model_compared_with_a_version_that_no_longer_serves_is_not_pushed(setting):
    """Another run pushed during the evaluation, or the baseline is no longer deployed."""
    setting.push()
    (first,) = setting.versions()
    setting.train("b")
    for compared, message in (
        (None, f"version {first} serves now, but the model was judged when nothing did; run again"),
        (
            "7",
            f"version {first} serves now, but the model was judged when version 7 did; run again",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            setting.push(compared=compared)
    assert setting.versions() == [first]


def test_the_second_of_two_simultaneous_pushes_waits_and_fails(setting, monkeypatch):
    """Both were evaluated without a baseline; the second must not replace the first unseen."""
    other = Setting(setting.folder / "other", setting.serving)
    fork = multiprocessing.get_context("fork")
    copying, go_on = fork.Event(), fork.Event()
    receiver, sender = fork.Pipe(duplex=False)
    copy = executor.io_utils.copy_dir

    def first() -> None:
        def slow_copy(*args, **options):
            copying.set()
            go_on.wait(60)
            copy(*args, **options)

        monkeypatch.setattr(executor.io_utils, "copy_dir", slow_copy)
        setting.push(compared=None)

    def second() -> None:
        monkeypatch.setattr(deployments.logging, "warning", lambda *_: sender.send("waits"))
        other.train("b")
        try:
            other.push(compared=None)
            sender.send("pushed")
        except ValueError as error:
            sender.send(str(error))

    processes = [fork.Process(target=run) for run in (first, second)]
    processes[0].start()
    assert copying.wait(60)
    processes[1].start()
    try:
        assert receiver.poll(60) and receiver.recv() == "waits"
        go_on.set()
        assert receiver.poll(60)
        (version,) = setting.versions()
        message = f"version {version} serves now, but the model was judged when nothing did"
        assert receiver.recv().startswith(message)
    finally:
        go_on.set()
        for process in processes:
            process.join(60)
    assert processes[0].exitcode == 0
    assert [entry.model for entry in setting.deployments()] == ['{"training": "a"}']


def test_a_damaged_deployment_of_the_same_model_is_replaced(setting):
    setting.push()
    (first,) = setting.versions()
    (setting.serving / first / "variables" / "variables.index").write_text("of another model")
    # The component Baseline reports that nothing but the candidate is deployed.
    setting.push(compared=None)
    _, second = setting.versions()
    assert tree(setting.serving / second) == setting.export
    assert setting.deployments()[-1].why.startswith(f"version {first} is damaged: variables/")


def test_a_lost_deployment_is_repeated(setting):
    setting.push()
    (first,) = setting.versions()
    shutil.rmtree(setting.serving / first)
    setting.push()
    (second,) = setting.versions()
    assert int(second) > int(first)
    shutil.rmtree(setting.serving)
    setting.push()
    assert len(setting.versions()) == len(setting.deployments()) == 1


@pytest.mark.parametrize("is_removed", [True, False])
def test_a_model_replaced_by_hand_is_not_pushed_again(setting, is_removed):
    setting.push()
    (first,) = setting.versions()
    if is_removed:
        setting.train("b")
        setting.push()
        second = setting.versions()[-1]
        shutil.rmtree(setting.serving / second)
        how = (
            f"as version {second}; that version was removed by hand, and version {first} serves now"
        )
    else:
        other = str(int(first) + 10)
        shutil.copytree(setting.serving / first, setting.serving / other)
        (setting.serving / other / "assets.extra" / "identity.json").unlink()
        how = f"as version {first}; version {other} was added by hand"
    before = setting.versions()
    pushed = setting.push()
    assert setting.versions() == before
    assert pushed.get_int_custom_property("pushed") == 0
    assert pushed.get_string_custom_property("kept_back") == (
        f"this model was deployed before, {how}"
    )
    pushed = setting.push(set_aside="it was removed by mistake")
    assert len(setting.versions()) == len(before) + 1
    assert pushed.get_int_custom_property("pushed") == 1
    assert setting.deployments()[-1].why.endswith(" was set aside: it was removed by mistake")


def test_a_push_killed_before_it_was_recorded_is_recorded_by_the_next(setting):
    setting.push()
    (setting.serving / "deployments.json").unlink()
    setting.push()
    (entry,) = setting.deployments()
    assert [entry.version] == setting.versions()


def test_a_copy_that_differs_from_the_export_is_not_deployed(setting):
    """A faulty disk may return other bytes than were written."""
    (setting.folder / "model" / "Format-Serving" / "saved_model.pb").write_text("other bytes")
    with pytest.raises(
        ValueError, match="is damaged: saved_model.pb differs from what was exported"
    ):
        setting.push()
    assert setting.versions() == []


def test_the_pusher_is_never_cached():
    told = [driver.Driver(None).run(None).exec_properties["asked_at"] for _ in range(2)]
    assert told[0] != told[1]


def test_a_model_that_is_not_blessed_is_not_pushed(setting):
    pushed = setting.push(blessed=False)
    assert not setting.serving.exists()
    assert pushed.get_int_custom_property("pushed") == 0


def test_pushes_within_a_second_are_separate_versions(setting, monkeypatch):
    monkeypatch.setattr(executor.time, "time", lambda: 1_700_000_000.9)
    for name in "abc":
        setting.train(name)
        setting.push()
    assert setting.versions() == ["1700000000", "1700000001", "1700000002"]


def test_a_version_is_the_highest_even_if_the_clock_was_set_back(setting):
    (setting.serving / "99999999999").mkdir(parents=True)
    setting.push(compared=None)
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
    """Creates a bucket for this test with an exported model."""
    name = tmp_path.name.replace("_", "-")
    for file in ("saved_model.pb", "variables/variables.index", "assets.extra/label.json"):
        with tf.io.gfile.GFile(f"gs://{name}/model/{file}", "w") as content:
            content.write(f"content of {file}")
    export_manifest.write(epath.Path(f"gs://{name}/model"))
    return name


def push(bucket: str) -> epath.Path:
    return executor.deploy(epath.Path(f"gs://{bucket}/model"), epath.Path(f"gs://{bucket}/serving"))


def files(store, bucket: str, version: str) -> list[str]:
    below = f"serving/{version}/"
    names = (name.removeprefix(below) for name in store.written(bucket, below))
    return [name for name in names if name and not name.endswith("/")]


def test_in_an_object_store_the_graph_is_copied_last(store, bucket):
    version = push(bucket)
    assert str(version).startswith(f"gs://{bucket}/serving/")
    written = files(store, bucket, version.name)
    assert sorted(written) == [
        "assets.extra/label.json",
        "assets.extra/manifest.json",
        "saved_model.pb",
        "variables/variables.index",
    ]
    assert written[-1] == "saved_model.pb"
    assert (version / "variables" / "variables.index").read_text() == (
        "content of variables/variables.index"
    )
    assert int(push(bucket).name) > int(version.name)


@pytest.mark.parametrize("last", ["variables.index", "saved_model.pb"])
def test_in_an_object_store_an_interrupted_push_cannot_be_loaded(store, bucket, last):
    store.refuse(f"^serving/.*{last}$")
    with pytest.raises(tf.errors.PermissionDeniedError):
        push(bucket)
    [left] = epath.Path(f"gs://{bucket}/serving").iterdir()
    assert left.name.isdigit() and "saved_model.pb" not in files(store, bucket, left.name)
    store.refuse("")
    version = push(bucket)
    assert int(version.name) > int(left.name), "what is left is not mixed with another push"
    assert len(files(store, bucket, version.name)) == 4
