"""Tests of what a task of a cluster reads from `TF_CONFIG`."""

import json

import pytest

from models import estimator_api
from models.distributed.layout import Name

TASKS = [Name("chief", 0), Name("worker", 0), Name("worker", 1)]
CLUSTER = {"chief": ["a:1"], "worker": ["b:1", "c:1"], "ps": ["d:1"]}


@pytest.mark.parametrize("evaluators", [[], ["e:1"]], ids=["of a launcher", "of the operator"])
def test_tasks_that_train_are_numbered_without_gaps(evaluators, monkeypatch):
    """The training operator gives the evaluator an address, too (tensorflow.go, genClusterSpec)."""
    cluster = {**CLUSTER, **({"evaluator": evaluators} if evaluators else {})}
    for index, task in enumerate(TASKS):
        role = {"type": task.role, "index": task.index}
        monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": role}))
        config = estimator_api.RunConfig()
        assert estimator_api.trainer_index(config) == index
        assert config.num_worker_replicas == len(TASKS)
