"""Tests of reading a process's task from `TF_CONFIG`, and of the errors."""

import json
import socket

import pytest

from models.distributed import layout
from models.distributed.layout import Name

CLUSTER = {"chief": ["10.0.0.1:2222"], "ps": ["[::1]:1", "b.example:1"]}


def config(**found) -> dict[str, str]:
    return {"TF_CONFIG": json.dumps(found)}


@pytest.mark.parametrize(
    ("environment", "task"),
    [
        ({}, None),
        ({"TF_CONFIG": ""}, None),
        ({"TF_CONFIG": "{}"}, None),
        (config(environment="cloud", cluster={}, task={}), None),
        (config(task={"type": "worker", "index": 0}), None),
        (config(cluster=CLUSTER, task={"type": "ps", "index": 1}), Name("ps", 1)),
        (config(cluster=CLUSTER, task={"type": "ps", "index": "1"}), Name("ps", 1)),
        (config(cluster=CLUSTER, task={"type": "chief"}), Name("chief", 0)),
        (config(cluster=CLUSTER, task={"type": "evaluator", "index": 0}), Name("evaluator", 0)),
        (config(task={"type": "evaluator", "index": 0}), Name("evaluator", 0)),
        (
            config(cluster={"worker": {"1": "a:1"}}, task={"type": "worker", "index": 0}),
            Name("worker", 0),
        ),
    ],
)
def test_the_task_is_read_from_the_environment(environment, task):
    found = layout.in_environment(environment)
    assert (found and found.task) == task


def test_a_written_tf_config_is_read_back():
    text = layout.tf_config(CLUSTER, Name("ps", 0))
    found = layout.in_environment({"TF_CONFIG": text})
    assert found == layout.Cluster(Name("ps", 0), CLUSTER)
    assert found.hosts == ["10.0.0.1", "::1", "b.example"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{broken", "found {broken, which is not JSON (Expecting property name enclosed"),
        ("'{}'", "which is not JSON"),
        ("[]", "found [], which is not a JSON object"),
        ("3", "found 3, which is not a JSON object"),
        ('{"cluster": ["a:1"]}', "cluster and task are not JSON objects"),
        ('{"cluster": {"chief": "a:1"}}', 'cluster.chief: found "a:1", not a list of addresses'),
        ('{"cluster": {"chief": [1]}}', "cluster.chief: found [1], not a list of addresses"),
        ('{"cluster": {"chief": ["a:1"]}}', "task.type: found null, not among ['chief']"),
        (
            '{"cluster": {"chief": ["a:1"]}, "task": {"type": "ps"}}',
            "task.type: found \"ps\", not among ['chief']",
        ),
        (
            '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 1}}',
            "task.index: found 1, but chief has 1 addresses",
        ),
        (
            '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": null}}',
            "task.index: found null",
        ),
        ('{"cluster": {"chief": ["' + "a" * 900, "…, which is not JSON"),
    ],
)
def test_an_invalid_tf_config_is_refused_in_one_line(text, what):
    with pytest.raises(ValueError) as refusal:
        layout.in_environment({"TF_CONFIG": text})
    line = str(refusal.value)
    assert line.startswith("TF_CONFIG: ") and what in line
    assert line.endswith("unset it or correct it") and "\n" not in line and len(line) < 400


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "0.0.0.0"])
def test_a_tasks_port_is_kept_from_other_programs_on_every_address(host):
    with layout.addresses([Name(layout.CHIEF, 0)]) as by_role:
        [address] = by_role[layout.CHIEF]
        port = int(address.rpartition(":")[2])
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind((host, port))
        with socket.socket() as task:
            task.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            task.bind((host, port))
