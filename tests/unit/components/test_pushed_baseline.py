"""The newest deployed version is the baseline; without one there is none."""

import pathlib

import pytest
from etils import epath
from tfx.types import standard_artifacts
from tiny_model import artifact

from components.pushed_baseline import executor


def version(serving: pathlib.Path, name: str) -> pathlib.Path:
    folder = serving / name
    (folder / "variables").mkdir(parents=True)
    (folder / "saved_model.pb").write_text(f"graph of {name}")
    (folder / "variables" / "variables.index").write_text(f"weights of {name}")
    return folder


def found(tmp_path: pathlib.Path) -> tuple[dict[str, str], str | None]:
    """The files of the artifact, and the version that it says it is."""
    made = artifact(standard_artifacts.Model, tmp_path / "model", 1)
    directory = str(tmp_path / "serving")
    executor.Executor().Do({}, {"model": [made]}, {"directory": directory})
    folder = pathlib.Path(made.uri)
    files = {
        str(path.relative_to(folder)): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }
    known = made.has_custom_property("pushed_version")
    return files, made.get_string_custom_property("pushed_version") if known else None


def copy_of(name: str) -> dict[str, str]:
    return {
        "Format-Serving/saved_model.pb": f"graph of {name}",
        "Format-Serving/variables/variables.index": f"weights of {name}",
    }


@pytest.mark.parametrize(
    "deployed, newest",
    [
        (["1700000000"], "1700000000"),
        # By number, not by text.
        (["1700000000", "999", "20"], "1700000000"),
        # What a push that was killed left beside.
        (["1700000000", ".1700000009.partial"], "1700000000"),
        (["1700000000", "1700000000.old", "latest"], "1700000000"),
    ],
)
def test_the_newest_version_is_copied(tmp_path, deployed, newest):
    for name in deployed:
        version(tmp_path / "serving", name)
    assert found(tmp_path) == (copy_of(newest), newest)


@pytest.mark.parametrize("there", [None, "nothing", ".1700000009.partial"])
def test_where_nothing_was_pushed_the_artifact_is_empty(tmp_path, there):
    if there:
        (tmp_path / "serving").mkdir()
    if there == ".1700000009.partial":
        version(tmp_path / "serving", there)
    assert found(tmp_path) == ({}, None)


def test_a_copy_that_was_cut_short_is_made_anew(tmp_path):
    version(tmp_path / "serving", "1")
    assert found(tmp_path) == (copy_of("1"), "1")
    version(tmp_path / "serving", "2")
    (tmp_path / "model" / "Format-Serving" / "leftover").touch()
    assert found(tmp_path) == (copy_of("2"), "2")


def test_in_an_object_store_a_version_without_graph_does_not_count(store, tmp_path):
    serving = epath.Path(f"gs://{tmp_path.name.replace('_', '-')}/serving")
    assert executor.newest(serving) is None
    for name, file in (("1", "saved_model.pb"), ("2", "variables.index"), ("latest", "x")):
        (serving / name).mkdir(parents=True)
        (serving / name / file).write_text("content")
    assert executor.newest(serving) == serving / "1"
