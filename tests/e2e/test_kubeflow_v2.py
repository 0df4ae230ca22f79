"""The V2 spec, run on this machine as open-source Kubeflow Pipelines 2 would run it."""

import dataclasses
import json
import pathlib

import pytest
import tensorflow as tf
import yaml

from tests.e2e import v2_engine
from tests.e2e.conftest import Problem
from tests.e2e.test_kubeflow import Cluster

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LOOSE = {"rmse": {"at_most": 1e9, "may_worsen_by": 0.05}, "skill": {"at_least": -10}}
"""Absolute bounds so loose that only the comparison can fail."""


@dataclasses.dataclass
class Installation:
    """A compiled problem, its disk (a volume shared by all steps) and the engine."""

    disk: pathlib.Path
    spec: dict
    job: dict
    notes: str
    engine: v2_engine.Engine

    @property
    def versions(self) -> list[str]:
        serving = self.disk / "serving"
        return sorted(path.name for path in serving.glob("[0-9]*"))

    def files(self, run: v2_engine.Run, task: str, key: str) -> pathlib.Path:
        return self.engine.file(run.outputs[task][key]["uri"])

    def verdict(self, run: v2_engine.Run) -> dict:
        file = self.files(run, "Evaluator", "evaluation") / "verdict.json"
        return json.loads(file.read_text())


@pytest.fixture(scope="module")
def installation(king_county: Problem, houses, tmp_path_factory) -> Installation:
    disk = tmp_path_factory.mktemp("disk")
    for name, rows in (("data", len(houses)), ("later", len(houses) - 500)):
        (disk / name).mkdir()
        houses.head(rows).to_csv(disk / name / "kc_house_data.csv", index=False)
    settings = [
        f"kubeflow.volumes={{disk: {disk}}}",
        f"kubeflow.workspace={disk}",
        f"kubeflow.data={disk / 'data'}",
    ]
    cluster = Cluster(king_county, tmp_path_factory.mktemp("compiled"))
    notes = cluster.call("compile", *[word for setting in settings for word in ("--set", setting)])
    spec, _ = yaml.safe_load_all((cluster.root / "pipeline_spec.yaml").read_text())
    job = json.loads((cluster.root / "pipeline_job.json").read_text())
    engine = v2_engine.Engine(tmp_path_factory.mktemp("engine"))
    return Installation(disk, spec, job, notes, engine)


@pytest.fixture(scope="module")
def first(installation) -> v2_engine.Run:
    return installation.engine.run(installation.spec, {})


@pytest.fixture(scope="module")
def worse(installation, first) -> v2_engine.Run:
    later = str(installation.disk / "later")
    values = {"data-directory": later, "max-steps": 60, "gates": json.dumps(LOOSE)}
    return installation.engine.run(installation.spec, values)


def tree(folder: pathlib.Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def rows(folder: pathlib.Path) -> list[tf.train.Example]:
    """Reads examples in order; parsed, since the order of columns in their bytes may vary."""
    files = sorted(str(path) for path in folder.rglob("*.gz"))
    dataset = tf.data.TFRecordDataset(files, "GZIP")
    return [tf.train.Example.FromString(row) for row in dataset.as_numpy_iterator()]


def test_the_first_model_has_no_baseline_and_is_pushed(installation, first):
    verdict = installation.verdict(first)
    assert verdict["blessed"] and verdict["baseline_metrics"] is None
    assert "No other model is deployed: only the absolute bounds apply." in verdict["notes"]
    assert "\nBlessed\n" in first.logs["Evaluator"]
    assert first.outputs["Evaluator"]["blessing"]["metadata"]["blessed"] == 1
    pushed = first.outputs["Pusher"]["pushed_model"]["metadata"]
    version = installation.disk / "serving" / pushed["pushed_version"]
    assert pushed["pushed_destination"] == str(version)
    exported = tree(installation.files(first, "Trainer", "model") / "Format-Serving")
    assert "saved_model.pb" in exported and tree(version) == exported


def test_the_next_model_is_compared_with_the_pushed_one(installation, first, worse):
    (version,) = installation.versions
    copy = installation.files(worse, "Baseline", "model") / "Format-Serving"
    assert tree(copy) == tree(installation.disk / "serving" / version)
    assert worse.outputs["Baseline"]["model"]["metadata"]["pushed_version"] == version
    verdict = installation.verdict(worse)
    assert verdict["examples"] < installation.verdict(first)["examples"], "of the other table"
    # The same model, scored on part of the same rows.
    was, found = (
        installation.verdict(first)["metrics"]["overall"]["rmse"],
        verdict["baseline_metrics"]["overall"]["rmse"],
    )
    assert found == pytest.approx(was, rel=0.2)
    assert verdict["metrics"]["overall"]["rmse"] > 1.05 * found


def test_a_worse_model_is_refused_and_not_pushed(installation, first, worse):
    verdict = installation.verdict(worse)
    failed = [line["text"] for line in verdict["lines"] if not line["passed"]]
    assert not verdict["blessed"] and failed
    assert all("the baseline's is" in text for text in failed)
    assert "\nNot blessed\n" in worse.logs["Evaluator"]
    assert worse.outputs["Pusher"]["pushed_model"]["metadata"]["pushed"] == 0
    pushed = first.outputs["Pusher"]["pushed_model"]["metadata"]["pushed_version"]
    assert installation.versions == [pushed]


def test_an_unchanged_run_trains_nothing_and_pushes_nothing(installation, first, worse):
    trainings = sorted((installation.disk / "training").iterdir())
    summaries = sorted((installation.disk / "training").glob("*/events.*"))
    again = installation.engine.run(installation.spec, {})
    assert installation.verdict(again)["blessed"]
    assert sorted((installation.disk / "training").iterdir()) == trainings
    assert sorted((installation.disk / "training").glob("*/events.*")) == summaries
    pushed = first.outputs["Pusher"]["pushed_model"]["metadata"]
    assert again.outputs["Pusher"]["pushed_model"]["metadata"] == {**pushed, "unchanged": 1}
    assert installation.versions == [pushed["pushed_version"]]


def test_without_the_hook_every_step_runs_again(first, worse):
    """The table is read each time, and all other steps depend on what it gives."""
    assert first.cached == worse.cached == []


def test_the_hook_of_vertex_ai_tells_the_cache_that_a_table_changed(
    installation, first, houses, tmp_path
):
    engine = v2_engine.Engine(tmp_path / "engine", hooks=True)
    values = {name: str(tmp_path / name) for name in ("training-root", "serving-directory")}
    values["data-directory"] = str(tmp_path)

    def examples() -> tuple[dict, list[str]]:
        run = engine.run(installation.job["pipelineSpec"], values, only={"TableExampleGen"})
        return run.outputs["TableExampleGen"]["examples"], run.cached

    table = tmp_path / "kc_house_data.csv"
    houses.to_csv(table, index=False)
    hooked, cached = examples()
    assert "input_fingerprint" in hooked["metadata"] and not cached
    plain = first.outputs["TableExampleGen"]["examples"]
    assert "input_fingerprint" not in plain["metadata"]
    assert rows(engine.file(hooked["uri"])) == rows(installation.engine.file(plain["uri"]))
    assert examples() == (hooked, ["TableExampleGen"])
    houses.head(100).to_csv(table, index=False)
    changed, cached = examples()
    assert changed["name"] != hooked["name"] and not cached


def test_a_note_names_what_vertex_ai_lacks(installation):
    assert "give the pipeline root, data-directory, training-root, serving" in installation.notes
