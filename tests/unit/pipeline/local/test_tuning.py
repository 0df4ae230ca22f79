"""Tests of the presentation of a search."""

import copy
from typing import Any

import pytest
import yaml
from rich.console import Console

from pipeline.console import tuning_chart
from pipeline.console.search_result import Tuning

RATE, HIDDEN = "model.params.learning_rate", "model.params.hidden"


def trial(number, state, value, rate, hidden=(8,), evaluations=((10, 3.0),), error=None):
    return {
        "number": number,
        "state": state,
        "value": value,
        "values": {RATE: rate, HIDDEN: list(hidden), "train.batch_size": 64},
        "steps": evaluations[-1][0] if evaluations else 0,
        "seconds": 4.4,
        "evaluations": [list(pair) for pair in evaluations],
        "error": error,
    }


RESULTS: dict[str, Any] = {
    "tune": {
        "metric": "rmse",
        "goal": "minimize",
        "search": dict.fromkeys([RATE, HIDDEN, "train.batch_size"]),
    },
    "best": 2,
    "trials": [
        trial(0, "complete", 20_000.0, 0.003),
        trial(1, "pruned", 90_000.0, 0.5, evaluations=((10, 90_000.0),)),
        trial(2, "complete", 18_000.0, 0.00123456, (16, 8), ((10, 30_000.0), (20, 18_000.0))),
        trial(3, "failed", None, 9.0, evaluations=(), error="no evaluation gave a finite loss"),
    ],
}


@pytest.fixture
def results():
    return copy.deepcopy(RESULTS)


def rows(tuning: Tuning) -> list[list[str]]:
    console = Console(width=200, color_system=None)
    with console.capture() as captured:
        console.print(tuning.table())
    return [line.split() for line in captured.get().splitlines() if line.strip()]


def test_the_table_starts_with_the_best_trial(results):
    title, _, *lines, caption = rows(Tuning(results))
    assert title[:3] == ["rank", "trial", "rmse"] and title[-3:] == [
        "learning_rate", "hidden", "batch_size",
    ]  # fmt: skip
    assert " ".join(caption) == "change: relative to trial 0, the configuration as it is"
    assert lines == [
        ["1", "2", "18,000", "-10.0%", "20", "4", "complete", "0.001235", "[16,", "8]", "64"],
        ["2", "0", "20,000", "10", "4", "complete", "0.003", "[8]", "64"],
        ["1", "90,000", "10", "4", "pruned", "0.5", "[8]", "64"],
        ["3", "-", "0", "4", "failed", "9", "[8]", "64"],
    ]


def test_parameters_that_are_not_set_are_shown_as_default(results):
    del results["trials"][0]["values"][RATE]
    assert rows(Tuning(results))[3][-4:] == ["complete", "default", "[8]", "64"]


def test_a_metric_may_be_maximized(results):
    results["tune"]["goal"], results["best"] = "maximize", 0
    assert [line[0] for line in rows(Tuning(results))[2:4]] == ["1", "2"]
    assert Tuning(results).ranked[0]["number"] == 0


def test_the_conclusion_compares_with_the_configuration(results):
    assert Tuning(results).conclusion() == (
        "Trial 2 is the best: rmse 18,000 against 20,000 for the configuration's own parameters "
        "(-10.0%)."
    )
    results["trials"][0].update(state="failed", value=None, error="out of memory")
    assert Tuning(results).conclusion().endswith("own parameters failed: out of memory.")
    results = copy.deepcopy(RESULTS) | {"best": 0}
    assert Tuning(results).conclusion() == (
        "None of 4 trials is better than the configuration's own parameters."
    )


def test_a_loss_around_zero_is_compared_by_absolute_difference(results):
    results["trials"][0]["value"], results["trials"][2]["value"] = -0.5, -0.75
    assert "rmse -0.75 against -0.5 " in Tuning(results).conclusion()
    assert Tuning(results).conclusion().endswith("(-0.25).")


def test_the_yaml_fits_into_the_configuration(results):
    text = Tuning(results).yaml()
    assert "hidden: [16, 8]" in text
    assert yaml.safe_load(text) == {
        "model": {"params": {"learning_rate": 0.00123456, "hidden": [16, 8]}},
        "train": {"batch_size": 64},
    }


def test_a_run_prints_the_parameters_it_trains_with(results):
    assert Tuning(results).chosen() == (
        "learning_rate 0.001235, hidden [16, 8], train.batch_size 64 (the best of 4 trials)"
    )
    results["best"] = 0
    assert Tuning(results).chosen() == "the configuration's own parameters, the best of 4 trials"


@pytest.mark.parametrize("change", [None, "one trial", "own failed", "negative"])
def test_the_chart_is_drawn(results, tmp_path, change):
    if change == "one trial":
        results["trials"], results["best"] = results["trials"][:1], 0
    elif change == "own failed":
        results["trials"][0].update(state="failed", value=None, evaluations=[[10, None]])
    elif change == "negative":
        results["trials"][2]["value"] = -1.0
    tuning_chart.draw(Tuning(results), tmp_path / "chart.png")
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
