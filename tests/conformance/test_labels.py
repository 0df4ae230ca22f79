"""Every registered model on labels of every task, on several labels, and on weighted rows."""

import numpy as np
import pytest
import sklearn.metrics

from components.serving_check.report import NOTHING_FOUND
from models.toolbox import heads
from tests.conformance import analysis, houses, serving
from tests.conformance.lab import CASES, STEPS, Run, examples, slow_but_for

CLASSES = {"dear": ["no", "yes"], "grade": ["9", "10", "11"]}


@pytest.fixture(params=slow_but_for({"sequence"}, CASES))
def case(request):
    return request.param


@pytest.fixture(
    params=[
        # `several` covers all tasks; whole pipelines cover them one at a time.
        pytest.param("binary", marks=pytest.mark.slow),
        pytest.param("multiclass", marks=pytest.mark.slow),
        "several",
    ]
)
def run(lab, case, request) -> Run:
    table = request.getfixturevalue(request.param)
    return lab(table, case, evaluate_every=STEPS)


def outputs(run: Run, label: str) -> dict[str, np.ndarray]:
    """Returns the Estimator's predictions for a label, by output."""
    prefix = "" if label == run.table.label else f"{label}/"
    keys = [heads.PREDICTIONS, heads.LOGISTIC, heads.PROBABILITIES, heads.CLASSES]
    return {key: run.predictions[prefix + key] for key in keys if prefix + key in run.predictions}


def truth(run: Run, label: str) -> np.ndarray:
    return np.array([row[label] for row in run.table.eval_rows])


def class_numbers(label: str, true: np.ndarray) -> np.ndarray:
    return np.array([CLASSES[label].index(str(value)) for value in true])


def weights(run: Run) -> np.ndarray:
    weighs = run.table.columns.weight
    return np.array([row[houses.WEIGHT] if weighs else 1.0 for row in run.table.eval_rows])


def test_every_label_is_learned(run):
    """The model beats a constant, on the rows with weight, by more than luck could.

    Most rows of the table of several labels have opposite labels and weight zero: a model that
    learned from them would be worse than the constant.
    """
    count = weights(run)
    for label in run.context.labels:
        found, true = outputs(run, label.name), truth(run, label.name)
        if label.task == "regression":
            logs = np.log(np.maximum(found[heads.PREDICTIONS][:, 0], 1.0)), np.log(true)
            error = np.average((logs[0] - logs[1]) ** 2, weights=count)
            mean = np.average(logs[1], weights=count)
            assert error < 0.85 * np.average((logs[1] - mean) ** 2, weights=count)
        else:
            assert list(label.classes) == CLASSES[label.name]
            numbers = class_numbers(label.name, true)
            share = np.bincount(numbers, count) / count.sum()
            constant = -np.sum(share * np.log(share))
            loss = -np.log(found[heads.PROBABILITIES][np.arange(len(numbers)), numbers])
            assert np.average(loss, weights=count) < 0.85 * constant


def test_outputs_agree_with_each_other(run):
    for label in run.context.labels:
        found = outputs(run, label.name)
        if label.task == "regression":
            assert set(found) == {heads.PREDICTIONS}
            continue
        probabilities = found[heads.PROBABILITIES]
        np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)
        likeliest = np.array(CLASSES[label.name])[probabilities.argmax(axis=1)]
        np.testing.assert_array_equal(found[heads.CLASSES][:, 0].astype(str), likeliest)
        assert (heads.LOGISTIC in found) == (label.task == "binary")
        if label.task == "binary":
            np.testing.assert_array_equal(found[heads.LOGISTIC][:, 0], probabilities[:, 1])


def test_the_export_answers_as_the_estimator_does(run, scorer):
    row = run.table.eval_rows[0]
    gaps = dict.fromkeys(["age", "income", "city", "quality", "sold", "offers"])
    requests = examples(run.table, run.table.eval_rows)
    batches = [requests, requests[:1], examples(run.table, [{**row, **gaps}])]
    whole, alone, with_gaps = scorer(run.export, batches)
    assert set(whole) == set(run.predictions)
    assert serving.findings(run, whole) == []
    for name, values in whole.items():
        if values.dtype.kind == "U":
            np.testing.assert_array_equal(values, run.predictions[name].astype(str))
            np.testing.assert_array_equal(alone[name], values[:1])
        else:
            np.testing.assert_allclose(values, run.predictions[name], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(alone[name], values[:1], rtol=1e-5, atol=1e-6)
            assert np.isfinite(with_gaps[name]).all()


@pytest.mark.slow
def test_the_export_passes_the_serving_check(run):
    assert serving.report(run) == NOTHING_FOUND


@pytest.mark.slow
def test_tfma_computes_what_numpy_computes(lab, several, tmp_path):
    runs = {case.id: lab(several, case, evaluate_every=STEPS) for case in CASES}
    found = analysis.metrics(tmp_path, several, {id: run.export for id, run in runs.items()})
    for id, run in runs.items():
        for label in run.context.labels:
            predicted, true = outputs(run, label.name), truth(run, label.name)
            if label.task == "regression":
                errors = predicted[heads.PREDICTIONS][:, 0] - true
                expected = {"rmse": np.mean(errors**2) ** 0.5, "mae": np.mean(np.abs(errors))}
            else:
                p, numbers = predicted[heads.PROBABILITIES], class_numbers(label.name, true)
                # The Evaluator ignores weights, and wrong rows may have a probability near zero.
                p_truth = p[np.arange(len(p)), numbers].astype(float)
                loss = -np.log(np.maximum(p_truth, 1e-7))
                hits = p.argmax(axis=1) == numbers
                expected = {"accuracy": np.mean(hits), "log_loss": np.mean(loss)}
            if label.task == "binary":
                auc = found[id][label.name].pop("auc")
                exact = sklearn.metrics.roc_auc_score(numbers, p[:, 1])
                # Our histogram counts predictions in one bin as ties.
                assert auc == pytest.approx(exact, abs=5e-3), id
            assert found[id][label.name] == pytest.approx(expected, rel=1e-5), id


def test_evaluation_weights_the_rows(run):
    """Metrics other than the loss equal numpy's weighted ones."""
    judged = run.context.labels[0].name
    classes = outputs(run, judged)[heads.CLASSES][:, 0].astype(str)
    expected = np.average(classes == truth(run, judged).astype(str), weights=weights(run))
    assert run.best["metrics"]["accuracy"] == pytest.approx(expected, rel=1e-5)
