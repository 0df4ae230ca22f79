"""Whole pipelines on other engines than Beam's in-process runner: `make test-engines`."""

import collections
import json
import pathlib
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import statistics_pb2

from tests.e2e.conftest import Problem, states, wait_for
from tests.engines.conftest import setting

pytestmark = pytest.mark.e2e


def latest(found: Problem, node: str, output: str) -> pathlib.Path:
    """Returns the directory of a node's last output."""
    folder = found.workspace / "artifacts" / node / output
    return max(folder.iterdir(), key=lambda path: int(path.name))


def verdict(found: Problem) -> dict[str, Any]:
    return json.loads((latest(found, "Evaluator", "evaluation") / "verdict.json").read_text())


def records(folder: pathlib.Path) -> list[bytes]:
    files = [str(path) for path in sorted(folder.iterdir())]
    return [
        tf.train.Example.FromString(record).SerializeToString(deterministic=True)
        for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator()
    ]


def splits(found: Problem, node: str, output: str) -> dict[str, list[bytes]]:
    """Returns the examples of each split, in the order of their files."""
    folder = latest(found, node, output)
    return {path.name: records(path) for path in folder.glob("Split-*")}


def statistics(found: Problem) -> dict[str, Any]:
    """Returns the statistics of each split by column."""
    folder = latest(found, "StatisticsGen", "statistics")
    result = {}
    for path in folder.glob("Split-*/FeatureStats.pb"):
        (of_split,) = statistics_pb2.DatasetFeatureStatisticsList.FromString(
            path.read_bytes()
        ).datasets
        result[path.parent.name] = {
            "rows": of_split.num_examples,
            **{column.path.step[0]: _values(column) for column in of_split.features},
        }
    return result


def _values(message: Any) -> Any:
    """Returns a protobuf message as mappings, lists and values to compare with a tolerance."""
    if not hasattr(message, "ListFields"):
        return pytest.approx(message, rel=1e-6) if isinstance(message, float) else message
    return {
        field.name: [_values(item) for item in value]
        if field.label == field.LABEL_REPEATED
        else _values(value)
        for field, value in message.ListFields()
    }


def assert_same_results(ours: Problem, theirs: Problem) -> None:
    for node, output in (("TableExampleGen", "examples"), ("Transform", "transformed_examples")):
        found, wanted = splits(ours, node, output), splits(theirs, node, output)
        assert {name: collections.Counter(rows) for name, rows in found.items()} == {
            name: collections.Counter(rows) for name, rows in wanted.items()
        }
        assert found == wanted, f"{node}: the same examples in another order"
    ingested = [
        json.loads((latest(one, "TableExampleGen", "examples") / "ingestion.json").read_text())
        for one in (ours, theirs)
    ]
    assert ingested[0] == ingested[1]
    assert statistics(ours) == statistics(theirs)
    judged, expected = verdict(ours), verdict(theirs)
    assert judged["examples"] == expected["examples"]
    assert judged["metrics"].keys() == expected["metrics"].keys()
    for part, metrics in expected["metrics"].items():
        assert judged["metrics"][part] == pytest.approx(metrics, rel=1e-4, nan_ok=True), part


def test_a_whole_pipeline_has_the_results_of_the_in_process_runner(
    engine, table, in_process, tmp_path
):
    found = Problem(table.config, tmp_path)
    output = found.run(setting(engine))
    assert set(states(output).values()) == {"done"}
    assert "Blessed and pushed to" in output
    assert len(found.versions) == 1
    assert_same_results(found, in_process(table))


@pytest.mark.parametrize(
    "step, before", [("StatisticsGen", "TableExampleGen"), ("Transform", "DataGate")]
)
def test_a_killed_worker_fails_its_step_and_the_next_run_continues(
    engine, king_county, in_process, tmp_path, step, before
):
    found = Problem(king_county.config, tmp_path)
    process = found.start(setting(engine))
    wait_for((tmp_path / "artifacts" / step).exists, process)
    known = {worker.pid for worker in engine.workers()}
    (worker, *_) = wait_for(
        lambda: [one for one in engine.workers() if one.pid not in known], process
    )
    worker.kill()
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1, output
    assert states(output)[before] == "done"
    assert states(output)[step] == "failed"

    again = found.run(setting(engine))
    assert states(again)[before] == "cached"
    assert states(again)[step] == "done"
    assert "Blessed and pushed to" in again
    assert_same_results(found, in_process(king_county))
