"""Tests of the metrics' formulas against scikit-learn and numpy, and of what a constant reaches."""

import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics

from components.evaluator import metric_catalogue
from components.evaluator.metric_catalogue import METRICS, Rows
from models.features.label import Label

rng = np.random.default_rng(0)
COUNT = 1000
PRICE = Label("price", "regression", mean=200.0, log_mean=5.1, median=180.0)
ANSWER = Label("answer", "binary", classes=("no", "yes"), frequencies=(0.6, 0.4))
GRADE = Label("grade", "multiclass", classes=("9", "10", "11"), frequencies=(0.2, 0.5, 0.3))

PRICES = rng.lognormal(5.2, 0.5, COUNT)
VALUES = PRICES + rng.normal(0, 20, COUNT)
LOWER, UPPER = VALUES - 15, VALUES + rng.uniform(0, 30, COUNT)
YES = (rng.random(COUNT) < 0.35).astype(float)
P_YES = 1 / (1 + np.exp(-rng.normal(3 * YES - 1.5, 1.5)))
GRADES = rng.choice(3, COUNT, p=GRADE.frequencies).astype(float)
P_GRADES = 0.7 * rng.dirichlet(np.ones(3), COUNT) + 0.3 * np.eye(3)[GRADES.astype(int)]

ROWS = {
    "regression": Rows(PRICE, PRICES, np.stack([VALUES, LOWER, UPPER], axis=1)),
    "binary": Rows(ANSWER, YES, P_YES[:, np.newaxis]),
    "multiclass": Rows(GRADE, GRADES, P_GRADES),
}
LOSS = {
    "binary": (sklearn.metrics.log_loss(YES, P_YES), sklearn.metrics.log_loss(YES, YES * 0 + 0.4)),
    "multiclass": (
        sklearn.metrics.log_loss(GRADES, P_GRADES),
        sklearn.metrics.log_loss(GRADES, np.tile(GRADE.frequencies, (COUNT, 1))),
    ),
}
EXPECTED = {
    ("regression", "rmse"): (
        np.sqrt(np.mean((PRICES - VALUES) ** 2)),
        np.sqrt(np.mean((PRICES - 200) ** 2)),
    ),
    ("regression", "mae"): (
        sklearn.metrics.mean_absolute_error(PRICES, VALUES),
        np.mean(np.abs(PRICES - 180)),
    ),
    ("regression", "rmsle"): (
        np.sqrt(np.mean((np.log1p(PRICES) - np.log1p(np.maximum(VALUES, 0))) ** 2)),
        np.sqrt(np.mean((np.log1p(PRICES) - 5.1) ** 2)),
    ),
    ("regression", "skill"): (
        1 - np.sum((PRICES - VALUES) ** 2) / np.sum((PRICES - 200) ** 2),
        0.0,
    ),
    ("regression", "coverage"): (np.mean((LOWER <= PRICES) & (PRICES <= UPPER)), None),
    ("regression", "interval_width"): (np.mean(UPPER - LOWER), None),
    ("binary", "auc"): (sklearn.metrics.roc_auc_score(YES, P_YES), 0.5),
    ("binary", "accuracy"): (np.mean((P_YES > 0.5) == YES), np.mean(YES == 0)),
    ("binary", "log_loss"): LOSS["binary"],
    ("binary", "skill"): (1 - LOSS["binary"][0] / LOSS["binary"][1], 0.0),
    ("multiclass", "accuracy"): (np.mean(P_GRADES.argmax(axis=1) == GRADES), np.mean(GRADES == 1)),
    ("multiclass", "log_loss"): LOSS["multiclass"],
    ("multiclass", "skill"): (1 - LOSS["multiclass"][0] / LOSS["multiclass"][1], 0.0),
}
"""The value of every metric, and what the constant reaches."""


def values(task: str, name: str, rows: Rows | None = None) -> dict[str, float]:
    """Returns a metric's values from the sums over batches of rows."""
    rows = rows or ROWS[task]
    batches = [
        Rows(rows.label, *parts)
        for parts in zip(np.array_split(rows.truth, 3), np.array_split(rows.predictions, 3))
    ]
    metric = metric_catalogue.of_task(task)[name]
    return metric.values(lambda each: sum(map(each, batches)) / len(rows.truth))


def test_every_metric_of_every_task_has_an_expected_value():
    assert set(EXPECTED) == {(task, metric.name) for metric in METRICS for task in metric.tasks}


@pytest.mark.parametrize(("task", "name"), EXPECTED)
def test_metrics_are_those_of_numpy(task, name):
    metric = metric_catalogue.of_task(task)[name]
    model, constant = EXPECTED[task, name]
    found = values(task, name)
    assert tuple(found) == metric.names
    assert found[name] == pytest.approx(model, abs=1e-3 if name == "auc" else 0, rel=1e-9)
    assert (found[name] - metric.best) * (1 if metric.lower_is_better else -1) > 0
    if not metric.constant_sums:
        assert metric.reached_by_constant == constant
        return
    assert metric.reached_by_constant is None
    assert found[f"{name}_of_constant"] == pytest.approx(constant, rel=1e-9)
    gain = 1 - abs(metric.best - model) / abs(metric.best - constant)
    assert found[f"{name}_gain"] == pytest.approx(gain, rel=1e-9)


@pytest.mark.parametrize(("task", "name"), EXPECTED)
def test_a_single_nan_makes_a_metric_nan(task, name):
    rows = ROWS[task]
    predictions = rows.predictions.copy()
    predictions[7] = np.nan
    assert np.isnan(values(task, name, Rows(rows.label, rows.truth, predictions))[name])


def test_interval_metrics_are_nan_without_intervals():
    rows = ROWS["regression"]
    alone = Rows(rows.label, rows.truth, rows.predictions[:, :1])
    assert np.isnan(values("regression", "coverage", alone)["coverage"])
    assert np.isnan(values("regression", "interval_width", alone)["interval_width"])
    assert values("regression", "rmse", alone) == values("regression", "rmse")


def test_a_class_unseen_in_training_counts_as_a_miss():
    rows = Rows(GRADE, np.array([-1.0, 1.0]), np.array([[0.2, 0.2, 0.6], [0.0, 1.0, 0.0]]))
    loss = values("multiclass", "log_loss", rows)
    assert loss["log_loss"] == pytest.approx(-np.log(1e-7) / 2)
    assert loss["log_loss_of_constant"] == pytest.approx(-np.log(1e-7 * 0.5) / 2)
    assert values("multiclass", "accuracy", rows)["accuracy"] == 0.5


def test_the_gain_is_nan_if_the_constant_makes_no_error():
    rows = Rows(ANSWER, np.zeros(9), np.full((9, 1), 0.1))
    assert np.isnan(values("binary", "accuracy", rows)["accuracy_gain"])
    assert np.isnan(values("binary", "auc", rows)["auc"])


def test_metrics_of_a_task_are_ordered_and_include_intervals_on_request():
    assert list(metric_catalogue.of_task("binary")) == ["auc", "accuracy", "log_loss", "skill"]
    assert list(metric_catalogue.of_task("regression", intervals=False)) == [
        "rmse",
        "mae",
        "rmsle",
        "skill",
    ]


def test_a_metric_has_one_title_and_direction_in_all_tasks():
    """A bound knows only the name of its metric."""
    for metric in METRICS:
        same = metric_catalogue.of_key(f"column/with/{metric.name}")
        facts = [(m.title, m.lower_is_better, m.needs_intervals) for m in (metric, same)]
        assert facts[0] == facts[1]
        assert same.reached_by_constant == metric.reached_by_constant
        assert bool(same.constant_sums) == bool(metric.constant_sums)


def test_loading_a_configuration_imports_neither_tensorflow_nor_tfx():
    code = (
        "import sys\n"
        "from pipeline.config import config_file\n"
        "print(sorted({'tensorflow', 'tfx', 'apache_beam', 'pyarrow'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.returncode) == ("[]\n", 0)
