"""Tables as users have them: other formats and tasks, gaps, no schema, four lines of YAML."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tests.e2e.conftest import REPOSITORY, SMALL, Problem, problem, states

pytestmark = pytest.mark.e2e

QUICK = ["train.max_steps=200", "train.evaluate_every=100"]


def metrics(found: Problem) -> dict:
    folder = found.workspace / "artifacts" / "Evaluator" / "evaluation"
    (file,) = folder.glob("*/verdict.json")
    return json.loads(file.read_text())["metrics"]


def test_four_lines_of_yaml_are_enough_for_a_csv_with_gaps_at_an_odd_path(houses, tmp_path):
    folder = tmp_path / "houses [v1] {a} #100%é?*'"
    folder.mkdir()
    rng = np.random.default_rng(0)
    table = houses.drop(columns="id")
    table["waterfront"] = table.waterfront.map({0: "False", 1: "True"})
    table["agent"] = rng.choice(["Ann", "Bo, Jr.", "Çelik"], len(table))
    for column in ("sqft_lot", "waterfront", "agent", "date"):
        table[column] = table[column].mask(rng.random(len(table)) < 0.2)
    table.to_csv(folder / "houses.csv", index=False)
    found = problem(
        folder,
        {
            "data": "houses.csv",
            "label": "price",
            "task": "regression",
            "gates": {"rmse": {"at_most": 250_000}},
        },
    )
    output = found.run(*QUICK, f"model={json.dumps({'name': 'tabm', 'params': SMALL})}")
    assert states(output)["SchemaGen"] == "done"
    assert f"Blessed and pushed to {found.workspace}/serving/" in output
    assert list((found.workspace / "tmp").iterdir()) == []

    # A row with all gaps, and a row with a category unseen in training.
    requests = table.head(3).drop(columns="price")
    requests.loc[requests.index[0], ["sqft_lot", "waterfront", "agent", "date"]] = None
    requests.loc[requests.index[1], "agent"] = "Zoë"
    requests.to_csv(folder / "in.csv", index=False)
    done = found.predict(folder / "in.csv", folder / "o.csv")
    assert done.returncode == 0, done.stderr
    scored = pd.read_csv(folder / "o.csv")
    assert scored.predicted_price.between(10_000, 10_000_000).all()

    requests.drop(columns="grade").to_csv(folder / "in.csv", index=False)
    done = found.predict(folder / "in.csv", folder / "p.csv")
    assert done.returncode == 2
    assert "column grade is missing" in done.stderr
    assert not (folder / "p.csv").exists()


@pytest.mark.slow
def test_a_text_label_in_parquet_is_learned_as_two_classes(houses, tmp_path):
    table = houses.drop(columns=["id", "date"])
    table["dear"] = np.where(table.pop("price") > 600_000, "yes", "no")
    table.to_parquet(tmp_path / "houses.parquet", index=False)
    found = problem(
        tmp_path,
        {
            "data": "houses.parquet",
            "label": "dear",
            "task": "binary",
            "gates": {"auc": {"at_least": 0.9}, "log_loss": {"at_most": 0.4}},
            "slices": ["waterfront"],
        },
    )
    output = found.run(*QUICK)
    assert "AUC is 0.9" in output
    share = (table.dear == "yes").mean()
    overall = metrics(found)["overall"]
    assert overall["accuracy_of_constant"] == pytest.approx(1 - share, abs=0.05)
    entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert overall["log_loss_of_constant"] == pytest.approx(entropy, abs=0.05)

    table.drop(columns="dear").head(50).to_csv(tmp_path / "in.csv", index=False)
    done = found.predict(tmp_path / "in.csv", tmp_path / "o.csv")
    assert done.returncode == 0, done.stderr
    scored = pd.read_csv(tmp_path / "o.csv")
    assert (scored.probability_no + scored.probability_yes).to_numpy() == pytest.approx(1)
    assert ((scored.probability_yes > 0.5) == (scored.predicted_dear == "yes")).all()
    assert (scored.predicted_dear == table.dear.head(50).to_numpy()).mean() > 0.8


@pytest.mark.slow
def test_the_model_fn_of_the_readme_learns_a_multiclass_label_in_tfrecords(houses, tmp_path):
    readme = (REPOSITORY / "README.md").read_text()
    (code,) = re.findall(r"```python\n# my_problem/my_model.py\n(.*?)```", readme, re.DOTALL)
    (tmp_path / "my_model.py").write_text(code)
    table = houses.drop(columns=["id", "date", "price"])
    table["band"] = pd.cut(houses.price, [0, 400_000, 700_000, 1e9], labels=[1, 2, 10]).astype(int)
    with tf.io.TFRecordWriter(str(tmp_path / "houses.tfrecord.gz"), "GZIP") as writer:
        for row in table.to_dict("records"):
            writer.write(example(row))
    found = problem(
        tmp_path,
        {
            "data": "houses.tfrecord.gz",
            "label": "band",
            "task": "multiclass",
            "model": {"name": "my_model.model_fn", "params": {"learning_rate": 0.003}},
            "gates": {"accuracy": {"at_least": 0.6}, "skill": {"at_least": 0.2}},
        },
    )
    output = found.run(*QUICK)
    assert "Blessed and pushed to" in output
    overall = metrics(found)["overall"]
    assert overall["accuracy"] > overall["accuracy_of_constant"] + 0.2


def example(row: dict) -> bytes:
    def feature(value):
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(float_list=tf.train.FloatList(value=[value]))

    features = {name: feature(value) for name, value in row.items()}
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def test_anomalies_stop_the_pipeline_before_training(houses, king_county, tmp_path):
    table = houses.copy()
    table.loc[table.index[:3], "waterfront"] = 2
    table.to_csv(tmp_path / "kc_house_data.csv", index=False)
    (tmp_path / "pipeline.yaml").write_text(king_county.config.read_text())
    (tmp_path / "schema.pbtxt").write_text((king_county.config.parent / "schema.pbtxt").read_text())
    found = Problem(tmp_path / "pipeline.yaml", tmp_path / "workspace")
    output = found.run(code=2)
    assert "DataGate failed: the data does not fit the schema" in output
    assert "column waterfront" in output
    assert "Transform" not in states(output)
    assert found.versions == []


@pytest.mark.slow
def test_an_unreadable_row_ends_the_run_or_is_quarantined(houses, king_county, tmp_path):
    table = tmp_path / "kc_house_data.csv"
    houses.to_csv(table, index=False)
    lines = table.read_text().splitlines()
    place = lines[0].split(",").index("sqft_lot")
    cells = lines[7].split(",")
    lines[7] = ",".join([*cells[:place], "unknown", *cells[place + 1 :]])
    table.write_text("\n".join(lines))
    (tmp_path / "pipeline.yaml").write_text(king_county.config.read_text())
    (tmp_path / "schema.pbtxt").write_text((king_county.config.parent / "schema.pbtxt").read_text())
    found = Problem(tmp_path / "pipeline.yaml", tmp_path / "workspace")
    done = found.call("run")
    assert done.returncode == 2
    message = f"{table}:8: sqft_lot: found 'unknown', expected a whole number; fix the row, or set"
    assert done.stderr.startswith(f"{message} data.on_bad_rows: quarantine")
    assert not states(done.stdout)

    output = found.run("data.on_bad_rows=quarantine", *QUICK)
    (folder,) = re.findall(r"1 row could not be read and was left out; see (.*)", output)
    (file,) = (REPOSITORY / folder).iterdir()
    aside = json.loads(file.read_text())
    assert (aside["line"], aside["column"], aside["content"]) == (8, "sqft_lot", lines[7])
    assert found.versions
