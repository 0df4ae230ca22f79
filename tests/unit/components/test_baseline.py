"""Tests that the deployed model is the baseline, unless it is the candidate itself."""

import json
import pathlib
import shutil
from typing import Any

import pytest
from etils import epath
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.types import standard_artifacts
from tiny_model import artifact

from components import deployments
from components.baseline import driver, executor
from components.deployments import Baseline, Deployment
from models.training import export_manifest


def export(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Writes an export that does not load, but has all the files that identify a model."""
    for file, text in (
        ("saved_model.pb", f"graph of {name}"),
        ("variables/variables.index", f"weights of {name}"),
        ("assets.extra/identity.json", json.dumps({"training": name})),
    ):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    export_manifest.write(epath.Path(folder))
    return folder


def record(serving: pathlib.Path, version: str, model: str = "a") -> None:
    identity = json.dumps({"training": model})
    digest = export_manifest.digest(epath.Path(serving / version))
    deployments.add(epath.Path(serving), Deployment(version, "now", "blessed", identity, digest))


class Setting:
    """A candidate, a serving directory, and the component's driver and executor."""

    def __init__(self, folder: pathlib.Path):
        self.serving, self.output = folder / "serving", folder / "baseline"
        export(folder / "candidate" / "Format-Serving", "candidate")
        candidate = artifact(standard_artifacts.Model, folder / "candidate", 1)
        self.inputs = {"candidate": [candidate]}
        self.parameters: dict[str, Any] = {"directory": str(self.serving)}

    def baseline(self) -> Baseline:
        """Returns the baseline that the driver adds to the cache key."""
        info = ExecutionInfo(
            input_dict=self.inputs, output_dict={}, exec_properties=dict(self.parameters)
        )
        told = driver.Driver(None).run(info).exec_properties
        assert set(told) == {"baseline"}
        return Baseline.from_json(told["baseline"].string_value)

    def run(self, **driver_properties: str) -> tuple[Baseline, dict[str, str]]:
        """Runs the executor; returns the baseline and the copied files that it has written."""
        model = artifact(standard_artifacts.Model, self.output, 2)
        executor.Executor().Do(
            self.inputs, {"model": [model]}, {**self.parameters, **driver_properties}
        )
        files = {
            str(path.relative_to(self.output)): path.read_text()
            for path in self.output.rglob("*")
            if path.is_file()
        }
        return Baseline.from_json(files.pop("baseline.json")), files


@pytest.fixture
def setting(tmp_path) -> Setting:
    return Setting(tmp_path)


def copy_of(version: pathlib.Path) -> dict[str, str]:
    return {
        f"Format-Serving/{path.relative_to(version)}": path.read_text()
        for path in version.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("versions", "others", "highest"),
    [
        (["1700000000"], [], "1700000000"),
        # Compared as numbers, not as text.
        (["1700000000", "999", "20"], [], "1700000000"),
        # Other entries, such as the remains of a killed push, are no versions.
        (["1700000000"], [".1700000009.partial", "1700000000.old", "latest"], "1700000000"),
    ],
)
def test_the_serving_version_is_copied(setting, versions, others, highest):
    for name in (*versions, *others):
        export(setting.serving / name, name)
    expected = Baseline(highest, export_manifest.digest(epath.Path(setting.serving / highest)))
    assert setting.baseline() == expected
    assert setting.run() == (expected, copy_of(setting.serving / highest))


@pytest.mark.parametrize("there", [None, "nothing", ".1700000009.partial"])
def test_without_a_deployment_the_baseline_is_empty(setting, there):
    if there:
        setting.serving.mkdir()
    if there == ".1700000009.partial":
        export(setting.serving / there, there)
    assert setting.baseline() == Baseline()
    assert setting.run() == (Baseline(), {})


def test_a_candidate_that_serves_already_is_compared_with_nothing(setting):
    """If nothing else is deployed, its cache key is the same as before it was deployed."""
    before = setting.baseline()
    export(setting.serving / "1", "candidate")
    assert setting.baseline() == before == Baseline()
    export(setting.serving / "2", "another")
    assert setting.baseline().version == "2"
    export(setting.serving / "3", "candidate")
    assert setting.baseline() == Baseline()


def test_redeploying_a_model_changes_the_cache_key(setting):
    export(setting.serving / "1", "a")
    first = setting.baseline()
    export(setting.serving / "2", "b")
    export(setting.serving / "3", "a")
    assert setting.baseline() == Baseline("3", first.checksums) != first


def test_a_damaged_version_is_reported_and_not_copied(setting):
    export(setting.serving / "1", "a")
    whole = setting.baseline()
    (setting.serving / "1" / "variables" / "variables.index").write_text("of another model")
    damage = "is damaged: variables/variables.index differs from what was exported (SHA-256)"
    assert setting.baseline() == Baseline("1", whole.checksums, damage)
    assert setting.run() == (setting.baseline(), {}), "what is damaged is not handed on"


def test_a_recorded_version_without_a_graph_is_damaged(setting):
    """An unrecorded version without a graph is left by an interrupted push to an object store."""
    export(setting.serving / "1", "a")
    record(setting.serving, "1")
    for name in ("1", "2"):
        folder = export(setting.serving / name, "a")
        (folder / "saved_model.pb").unlink()
    assert setting.baseline().version == "1"
    assert setting.baseline().damage == "is damaged: saved_model.pb is missing"


def test_a_version_with_another_model_than_recorded_is_damaged(setting):
    export(setting.serving / "1", "a")
    record(setting.serving, "1")
    assert setting.baseline().damage == ""
    shutil.rmtree(setting.serving / "1")
    export(setting.serving / "1", "b")
    assert setting.baseline().damage == (
        "is damaged: it is not the model that was deployed as version 1"
    )


@pytest.mark.parametrize("recorded", [False, True])
def test_only_an_unrecorded_version_may_lack_checksums(setting, recorded):
    folder = export(setting.serving / "1", "a")
    if recorded:
        record(setting.serving, "1")
    (folder / "assets.extra" / "manifest.json").unlink()
    assert setting.baseline() == Baseline("1", "", export_manifest.NO_CHECKSUMS if recorded else "")
    _, files = setting.run()
    assert bool(files) is not recorded


def test_the_executor_uses_the_drivers_baseline(setting):
    """A version that is pushed between the two is not part of the cache key."""
    export(setting.serving / "1", "a")
    before = setting.baseline()
    export(setting.serving / "2", "b")
    assert setting.run(baseline=before.to_json()) == (before, copy_of(setting.serving / "1"))


def test_an_interrupted_copy_is_repeated(setting):
    export(setting.serving / "1", "a")
    setting.run()
    (setting.output / "Format-Serving" / "leftover").touch()
    assert setting.run()[1] == copy_of(setting.serving / "1")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"deployments": [{"version": "1"}]}', "\xff"])
def test_an_unreadable_record_is_refused_in_one_line(setting, text):
    export(setting.serving / "1", "a")
    (setting.serving / "deployments.json").write_text(text, encoding="latin-1")
    with pytest.raises(deployments.BadRecord) as caught:
        setting.baseline()
    message = str(caught.value)
    assert message.startswith(f"{setting.serving}/deployments.json: is not a record of deployments")
    assert "restore or remove it" in message and "\n" not in message


def test_in_an_object_store_a_version_without_a_graph_is_ignored(store, tmp_path):
    serving = epath.Path(f"gs://{tmp_path.name.replace('_', '-')}/serving")
    assert deployments.serving(serving) is None
    for name, file in (("1", "saved_model.pb"), ("2", "variables.index"), ("latest", "x")):
        (serving / name).mkdir(parents=True)
        (serving / name / file).write_text("content")
    assert deployments.serving(serving) == serving / "1"
    for number in ("1", "2"):
        deployments.add(serving, Deployment(number, "now", "blessed", None, ""))
    assert [entry.version for entry in deployments.read(serving)] == ["1", "2"]
    assert deployments.serving(serving) == serving / "2"
