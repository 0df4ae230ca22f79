"""A hyperparameter search, and a run that trains with its result."""

import json
import re

import pytest
import yaml

from tests.e2e.conftest import problem, states

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def found(houses, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned")
    houses.drop(columns="id").head(1500).to_csv(folder / "houses.csv", index=False)
    settings = {
        "data": "houses.csv",
        "label": "price",
        "task": "regression",
        # The learning rate is far too low, so that any other trial is better.
        "model": {"name": "mlp", "params": {"hidden": [32], "learning_rate": 1e-7}},
        "train": {"max_steps": 200, "evaluate_every": 100},
        "tune": {
            "trials": 4,
            "parallel": 2,
            "pruner": "none",
            "metric": "rmse",
            "max_steps": 60,
            "search": {
                "model.params.learning_rate": {"low": 0.001, "high": 0.01, "log": True},
                "model.params.hidden": {"choices": [[32], [24, 12]]},
            },
        },
        "gates": {"rmse": {"at_most": 300_000}},
    }
    return problem(folder, settings)


def test_a_run_trains_with_the_parameters_that_a_search_found(found):
    done = found.call("tune")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4/4 trials, best rmse" in done.stdout
    assert list(states(done.stdout))[-1] == "Tuner"
    [trials] = found.workspace.glob("artifacts/Tuner/tuner_results/*/trials.json")
    results = json.loads(trials.read_text())
    assert [trial["state"] for trial in results["trials"]] == ["complete"] * 4
    best, own = results["trials"][results["best"]], results["trials"][0]
    assert own["values"]["model.params.learning_rate"] == 1e-7
    assert best["value"] < own["value"]

    sentence, _, rest = done.stdout.partition("Trial ")[2].partition("\n")
    assert sentence.startswith(f"{best['number']} is the best: rmse ") and "-" in sentence
    snippet = yaml.safe_load(rest.partition("\n\n")[2].partition("\n\nchart:")[0])
    assert snippet["model"]["params"] == {
        key.removeprefix("model.params."): value for key, value in best["values"].items()
    }
    chart = found.workspace / "tuning.png"
    assert done.stdout.endswith(f"chart: {chart}\n")
    assert chart.read_bytes().startswith(b"\x89PNG")

    output = found.run()
    assert states(output)["Tuner"] == "cached"
    assert re.search(r"^tuned: hidden .*, learning_rate ", output, re.MULTILINE)
    assert "Blessed and pushed" in output
    [record] = found.workspace.glob("artifacts/Trainer/model_run/*/training.json")
    training = json.loads(record.read_text())
    assert training["model"]["params"] == snippet["model"]["params"]
    assert training["max_steps"] == 200
