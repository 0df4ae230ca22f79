"""Every model trains unchanged in a cluster: chief, worker, parameter server and evaluator."""

import pytest

from models.settings.training_settings import Tasks
from tests.conformance.lab import CASES, STEPS, examples, train

CLUSTER = Tasks(max_restarts=0)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_a_model_learns_in_a_cluster_and_is_exported(case, binary, tmp_path, scorer):
    run = train(binary, case, tmp_path, cluster=CLUSTER)
    # Each of the two training tasks may make one step more.
    assert STEPS // 2 <= run.best["step"] <= STEPS + 2
    assert run.best["metrics"]["auc"] > 0.8
    [answer] = scorer(run.export, [examples(binary, binary.eval_rows[:3])])
    assert answer["logistic"].shape == (3, 1)
