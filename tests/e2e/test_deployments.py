"""Deployments over several runs: two alternating configurations, and a renamed column."""

import csv
import json

import numpy as np
import pytest

from tests.e2e.conftest import Problem, problem, states

B = "train.seed=5"
WORSE = "model.params.learning_rate=0.0000001"


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Problem:
    """Returns a small problem, with a change bound by which A and B pass against each other."""
    folder = tmp_path_factory.mktemp("turns")
    _write(folder / "rents.csv", "rooms")
    return problem(
        folder,
        {
            "label": "rent",
            "task": "regression",
            "data": "rents.csv",
            "splits": {"key": "id"},
            "model": "mlp",
            "train": {"max_steps": 60, "batch_size": 64},
            "gates": {"rmse": {"at_most": 1000, "may_worsen_by": 0.9}},
        },
    )


def _write(path, rooms: str) -> None:
    """Writes a table in which `rooms` is the name of the column of rooms."""
    rng = np.random.default_rng(3)
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", rooms, "area", "rent"])
        for number in range(600):
            count, area = rng.integers(1, 6), rng.normal(60, 15)
            rent = 100 * count + 8 * area + rng.normal(0, 20)
            writer.writerow([number, count, f"{area:.2f}", f"{rent:.2f}"])


def _record(problem: Problem) -> list[dict]:
    text = (problem.workspace / "serving" / "deployments.json").read_text()
    return json.loads(text)["deployments"]


def _uncached(output: str) -> set[str]:
    return {node for node, state in states(output).items() if state != "cached"}


@pytest.mark.slow
def test_alternating_configurations_are_compared_with_each_other(table):
    table.run()
    (a,) = table.versions

    output = table.run(B)
    assert f"Blessed and pushed to {table.workspace}/serving/" in output
    assert "the baseline's is" in output
    a, b = table.versions

    # A is judged against the served model, B, and deployed again.
    output = table.run()
    assert "Trainer" not in _uncached(output) and "Evaluator" in _uncached(output)
    assert "the baseline's is" in output
    assert len(table.versions) == 3
    a_again = table.versions[-1]
    output = table.run()
    assert f"Blessed and unchanged; deployed at {table.workspace}/serving/{a_again}" in output
    assert _uncached(output) == {"Pusher"}
    assert table.versions == [a, b, a_again]

    # A refused model does not change what is served.
    assert "Not blessed" in table.run(WORSE, code=3)
    assert "Blessed and unchanged" in table.run()
    assert table.versions == [a, b, a_again]
    record = _record(table)
    assert [entry["version"] for entry in record] == [a, b, a_again]
    assert [entry["compared_with"] for entry in record] == [None, a, b]
    assert record[0]["model"] == record[2]["model"] != record[1]["model"]


@pytest.mark.slow
def test_a_renamed_column_needs_a_persons_decision(table):
    """Continues from the test above, after which A is served."""
    table.run()
    before = table.versions
    _write(table.config.parent / "rents.csv", "chambers")
    refused = table.run(WORSE, code=3)
    assert (
        f"The deployed model (version {before[-1]}) cannot be used as the baseline: it reads "
        "the column rooms, which no longer exists; to accept this model by the absolute "
        "bounds alone"
    ) in refused
    assert table.versions == before

    done = table.call("run", "--new-baseline", "rooms are chambers now")
    assert done.returncode == 0, done.stdout + done.stderr
    note = "was set aside, so only the absolute bounds apply; reason: rooms are chambers now"
    assert note in done.stdout
    assert len(table.versions) == len(before) + 1
    assert _record(table)[-1]["why"].endswith("was set aside: rooms are chambers now")
    # The decision was for one run: the next model is compared.
    assert "Blessed and unchanged" in table.run()
    assert "the baseline's is" in table.run(WORSE, code=3)
    assert len(table.versions) == len(before) + 1
