"""Tests that columns in every role may have any name."""

import itertools

import pandas as pd
import pytest
import yaml

from pipeline.config import config_file
from pipeline.preflight import data_check
from pipeline.preflight.table_view import TableView

NAMES = [
    *("Größe / Preis [€]", "a.b", "it's", 'is "new"?', "#1", "100%", "🏠", "a=b", "*", "{z}"),
    *("examples", "data", "label", "schema", "predictions", "classes", "serving_default", "\\back"),
]
ROLES = ("label", "more", "weight", "key", "slice", "number", "derived")


@pytest.mark.parametrize("shift", range(len(NAMES)))
@pytest.mark.parametrize("task", ["regression", "binary", "multiclass"])
def test_every_role_takes_every_name(tmp_path, shift, task):
    names = dict(zip(ROLES, itertools.islice(itertools.cycle(NAMES), shift, None)))
    numbers = range(1, 201)
    classes = [f"class {number % (2 if task == 'binary' else 3)}" for number in numbers]
    table = {
        names["label"]: [n * 1.5 for n in numbers] if task == "regression" else classes,
        names["more"]: [n * 2.5 for n in numbers],
        names["weight"]: [1.5] * 200,
        names["key"]: numbers,
        names["slice"]: ["a", "b"] * 100,
        names["number"]: [n % 17 + 0.5 for n in numbers],
    }
    pd.DataFrame(table).to_csv(tmp_path / "t.csv", index=False)
    bound = {"rmse": {"at_most": 1e6}} if task == "regression" else {"accuracy": {"at_least": 0.1}}
    expression = f"log1p({names['number']!r}) + {names['number']!r}"
    text = {
        "task": task,
        "label": names["label"],
        "data": {"path": "t.csv"},
        "more_labels": {names["more"]: {"task": "regression"}},
        "weight": names["weight"],
        "splits": {"key": names["key"]},
        "slices": [{"column": names["slice"]}],
        "derived": {names["derived"]: expression},
        "gates": {
            **bound,
            f"{names['more']}/rmse": {"at_most": 1e6},
        },
    }
    file = tmp_path / "pipeline.yaml"
    file.write_text(yaml.safe_dump(text, allow_unicode=True), encoding="utf-8")
    config = config_file.load(file)
    report = data_check.check_data(config)
    assert report is not None
    assert f"{names['more']}/rmse" in (config.gates or {})
    features = made(config)
    assert {feature.name for feature in features} == {
        names[role] for role in ("slice", "number", "derived")
    }
    (derived,) = [feature for feature in features if feature.name == names["derived"]]
    assert [operand.name for operand in derived.operands] == [names["number"]]


def made(config):
    from components.tables import profile, reader

    paths = [str(path) for path in data_check.data_files(config)]
    source = reader.open_table(paths, config.data.reading)
    return TableView.of(config, profile.profile(source, paths, {}), None).features()
