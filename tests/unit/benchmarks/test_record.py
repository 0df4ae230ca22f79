"""Tests of the record: complete after every repetition, resumed by later runs, compared by seed."""

import json

import pytest

from benchmarks.record import Record

COMMAND = "python benchmarks/quality.py"


def repetition(model, seed, value, **more):
    scores = {"rmse": value, "mae": value / 2}
    return {"dataset": "houses", "model": model, "seed": seed, "scores": scores, **more}


def rmse(found):
    assert found is not None
    return found["scores"]["rmse"]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "results" / "quality.json"
    record = Record(path, COMMAND, ["linear", "trees"])
    for seed, value in enumerate([10.0, 12.0]):
        record.add(repetition("linear", seed, 20.0, train_seconds=1.0))
        record.add(repetition("trees", seed, value, train_seconds=2.0))
        record.add(repetition("ours", seed, 9.0, train_seconds=None, steps_per_second=100.0))
    return path


def test_finished_repetitions_are_read_back(path):
    record = Record(path, COMMAND, ["linear", "trees"])
    assert rmse(record.find("houses", "ours", 1)) == 9.0
    assert record.find("houses", "ours", 2) is None
    assert record.find("flats", "ours", 1) is None


def test_a_repetition_replaces_an_earlier_one(path):
    record = Record(path, COMMAND, [])
    record.add(repetition("ours", 1, 8.0))
    again = Record(path, COMMAND, [])
    assert len(again.repetitions) == 6
    assert rmse(again.find("houses", "ours", 1)) == 8.0


def test_only_the_given_repetitions_are_removed(path):
    record = Record(path, COMMAND, [])
    record.remove(["houses"], ["ours", "linear"])
    record.remove(["flats"], ["trees"])
    assert {r["model"] for r in record.repetitions} == {"trees"}


def test_summary_and_differences_are_means_over_seeds(path):
    content = json.loads(path.read_text())
    rows = {(r["model"], r["metric"]): r for r in content["summary"]}
    trees = rows["trees", "rmse"]
    assert trees == {
        "dataset": "houses",
        "metric": "rmse",
        "model": "trees",
        "value": 11.0,
        "std": pytest.approx(2**0.5, rel=1e-5),
        "seeds": 2,
        "train_seconds": 2.0,
        "steps_per_second": None,
    }
    assert rows["ours", "rmse"]["train_seconds"] is None
    assert rows["ours", "rmse"]["steps_per_second"] == 100.0
    (difference,) = [d for d in content["differences"] if d["metric"] == "rmse"]
    assert (difference["model"], difference["reference"]) == ("ours", "trees")
    # 9 against 10 and 9 against 12: differences are taken per split, not between means.
    assert difference["difference"] == pytest.approx((-0.1 - 0.25) / 2)
    assert (difference["better"], difference["seeds"]) == (2, 2)
    assert content["command"] == COMMAND
    assert set(content) >= {"machine", "date", "versions"}
