"""A cluster of real processes: what it makes, and that nothing is left of it."""

import collections
import math

import pytest
import tensorflow as tf

from tests.faults.conftest import tasks


@pytest.mark.parametrize("evaluator", [True, False], ids=["evaluator", "chief evaluates"])
def test_a_cluster_makes_what_a_single_process_makes(train, tmp_path, evaluator):
    """The rows of one file are shared out, each checkpoint is evaluated, one model is exported."""
    (tmp_path / "rows").mkdir()
    training = train({"rows_to": str(tmp_path / "rows")}, {"evaluator": evaluator})
    assert training.end() == 0, training.errors[-3000:]
    assert not tasks(tmp_path)
    signatures = tf.saved_model.load(str(training.export)).signatures
    assert {"predict", "serving_default"} <= set(signatures)
    assert training.record["restarts"] == []
    best = training.record["best"]
    assert 300 <= best["step"] <= 301, "the loss falls to the end"

    seen = {
        path.name.partition(".")[0]: collections.Counter(path.read_text().split())
        for path in (tmp_path / "rows").iterdir()
    }
    assert set(seen) == {"chief-0", "worker-0"}
    mean = sum(sum(rows.values()) for rows in seen.values()) / 320
    for rows, parity in ((seen["chief-0"], 0), (seen["worker-0"], 1)):
        # Each pass of a task, of ten batches, sees each of its rows once; it ends in one of them.
        passes = sum(rows.values()) / 160
        assert mean - 1 <= passes <= mean + 1, "no task is further ahead or behind"
        assert {float(row) for row in rows} == set(range(parity, 320, 2))
        assert set(rows.values()) <= {math.floor(passes), math.ceil(passes)}
