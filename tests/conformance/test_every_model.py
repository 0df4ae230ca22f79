"""Requirements on every registered model, checked on a regression label.

The table has columns of every kind. Checks that depend on the label are in `test_labels.py`.
"""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from components.serving_check.report import NOTHING_FOUND
from models.estimator_api import ModeKeys
from models.features.label import Label
from models.toolbox import heads
from models.training import fitting
from tests.conformance import analysis, houses, serving
from tests.conformance.lab import (
    CASES,
    HALF,
    STEPS,
    WITH_BATCH_NORM,
    examples,
    slow_but_for,
    summaries,
    train,
    variables,
)

ALL = [*CASES, *WITH_BATCH_NORM]
QUICK = {"mlp", "premade.dnn", "keras.mlp"}
"""One of each kind; other quick tests, such as those of `test_labels.py`, train others."""


@pytest.fixture(params=slow_but_for(QUICK, ALL))
def case(request):
    return request.param


@pytest.fixture
def run(lab, regression, case):
    return lab(regression, case)


def constant_loss(run) -> float:
    """Returns the eval loss of a zero logit, which predicts the mean of the train split."""
    (label,) = run.context.labels
    assert label.log
    prices = np.array([row["price"] for row in run.table.eval_rows])
    return float(np.mean(((np.log1p(prices) - label.log_mean) / label.log_deviation) ** 2))


def test_a_few_steps_lower_the_loss(run):
    """It falls below half of a constant's; the test of dropout shows that it starts far above."""
    assert run.best["loss"] < 0.5 * constant_loss(run)


@pytest.mark.parametrize("case", slow_but_for({"keras.mlp"}, ALL), indirect=True)
def test_a_killed_run_ends_like_an_uninterrupted_one(run, tmp_path):
    """Killed after half of the steps, which equal the other run's because of the same seed."""
    first = fitting.make_estimator(run.problem, run.context, tmp_path)
    first.train(run.problem.train_input(run.context.rows), max_steps=HALF)
    same(variables(tmp_path, HALF), variables(run.directory, HALF))
    fitting.fit(run.problem, run.context, tmp_path)
    same(variables(tmp_path, STEPS), variables(run.directory, STEPS))
    resumed, uninterrupted = (summaries(place / "eval") for place in (tmp_path, run.directory))
    assert resumed == uninterrupted, "the checkpoint at which it was killed is evaluated too"


def same(found, expected) -> None:
    assert set(found) == set(expected)
    different = [name for name in found if not np.array_equal(found[name], expected[name])]
    assert not different


@pytest.mark.parametrize("case", slow_but_for({"mlp"}, ALL), indirect=True)
def test_another_seed_gives_another_model(run, tmp_path):
    problem = run.problem.replaced({"train.seed": 2})
    other = fitting.make_estimator(problem, run.context, tmp_path)
    other.train(problem.train_input(run.context.rows), max_steps=HALF)
    found, expected = variables(tmp_path, HALF), variables(run.directory, HALF)
    assert any(not np.allclose(found[name], expected[name], atol=1e-3) for name in found)


def test_the_export_answers_as_the_estimator_does(run, scorer):
    requests = examples(run.table, run.table.eval_rows)
    some = requests[:5]
    whole, again, *alone = scorer(run.export, [requests, requests, *([one] for one in some)])
    assert set(whole) == {heads.PREDICTIONS}
    assert serving.findings(run, whole) == []
    values = whole[heads.PREDICTIONS]
    np.testing.assert_allclose(values, run.predictions[heads.PREDICTIONS], rtol=1e-5)
    np.testing.assert_array_equal(values, again[heads.PREDICTIONS])
    # A model that used statistics of the batch would answer a single row differently.
    one_by_one = np.concatenate([answer[heads.PREDICTIONS] for answer in alone])
    np.testing.assert_allclose(one_by_one, values[: len(some)], rtol=1e-5)


@pytest.mark.slow
def test_the_export_passes_the_serving_check(run):
    assert serving.report(run) == NOTHING_FOUND


OPTIONAL = ["age", "income", "city", "quality", "sold", "offers"]


def test_missing_and_unseen_values_are_served(run, scorer):
    row = dict(run.table.eval_rows[0])
    rows = [
        *({**row, name: None} for name in OPTIONAL),
        {**row, **dict.fromkeys(OPTIONAL)},
        {**row, "offers": []},
        {**row, "offers": [0.5] * 300},
        {**row, "offers": [float("nan"), float("inf")], "income": float("inf")},
        {**row, "city": "Atlantis", "zone": 10**9, "quality": "none", "sold": "soon"},
        {**row, "area": 1e30, "age": -(10**12), "months": [-1e30, 0.0, 1e30, float("nan")]},
    ]
    requests = examples(run.table, rows)
    # A batch may also consist of empty lists only.
    together, *alone = scorer(run.export, [requests, *([request] for request in requests)])
    for answer in (together, *alone):
        assert np.isfinite(answer[heads.PREDICTIONS]).all()


@pytest.mark.slow
def test_tfma_computes_what_numpy_computes(lab, regression, tmp_path):
    runs = {case.id: lab(regression, case) for case in ALL}
    found = analysis.metrics(tmp_path, regression, {id: run.export for id, run in runs.items()})
    prices = np.array([row["price"] for row in regression.eval_rows])
    for id, run in runs.items():
        errors = run.predictions[heads.PREDICTIONS][:, 0] - prices
        expected = {"rmse": np.mean(errors**2) ** 0.5, "mae": np.mean(np.abs(errors))}
        assert found[id] == {"price": pytest.approx(expected, rel=1e-5)}, id
        # The metrics that select a checkpoint are those that the Evaluator computes.
        eval_split = {name: run.best["metrics"][name] for name in expected}
        assert eval_split == pytest.approx(expected, rel=1e-4), id


def test_dropout_and_moving_averages_change_only_in_training(run, case):
    """Dropout depends on the step, in training only; only training updates moving averages."""
    for mode in (ModeKeys.TRAIN, ModeKeys.EVAL):
        estimator = run.estimator()
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            step = tf.compat.v1.train.create_global_step()
            features, labels = tf.data.experimental.get_single_element(run.problem.eval_input()())
            spec = estimator.model_fn(features, labels, mode, estimator.config)
            session.run([tf.compat.v1.global_variables_initializer()])
            session.run([tf.compat.v1.tables_initializer()])
            losses = [session.run(spec.loss) for _ in range(2)]
            session.run(step.assign(7))
            later = session.run(spec.loss)
            assert losses[0] == losses[1]
            assert (later != losses[0]) == (mode == ModeKeys.TRAIN and case.dropout)
            assert (spec.train_op is not None) == (mode == ModeKeys.TRAIN)
            if mode == ModeKeys.EVAL:
                assert later > 0.7 * constant_loss(run), "untrained"
            moving = {v.name: v for v in tf.compat.v1.global_variables() if "moving_" in v.name}
            assert bool(moving) == case.batch_norm
            if not moving:
                continue
            before = session.run(moving)
            session.run([spec.loss, *([spec.train_op] if spec.train_op is not None else [])])
            after = session.run(moving)
            moved = [not np.array_equal(before[name], after[name]) for name in moving]
            assert moved == [mode == ModeKeys.TRAIN] * len(moving)
            if mode == ModeKeys.EVAL:
                session.run([variable.assign_add(variable + 1.0) for variable in moving.values()])
                assert session.run(spec.loss) != later


def test_summaries_are_readable(run):
    trained, evaluated = summaries(run.directory), summaries(run.directory / "eval")
    assert [step for step, _ in trained["loss"]] == [1, 101]
    assert trained["loss"][1][1] < trained["loss"][0][1]
    assert {"loss", "rmse", "mae"} <= set(evaluated)
    for tag, points in [*trained.items(), *evaluated.items()]:
        steps = [step for step, _ in points]
        assert steps == sorted(set(steps)), tag
        assert np.isfinite([value for _, value in points]).all(), tag
    assert [step for step, _ in evaluated["rmse"]] == [HALF, STEPS]
    assert dict(evaluated["loss"])[run.best["step"]] == pytest.approx(run.best["loss"])


WITH_INTERVALS = ("wide_deep", "tabm", "premade.dnn_linear_combined")


@pytest.mark.parametrize(
    "case",
    slow_but_for({"wide_deep"}, [case for case in CASES if case.id in WITH_INTERVALS]),
    indirect=True,
)
def test_intervals_cover_the_requested_share_of_labels(regression, scorer, case, tmp_path):
    """Checks the exported model on rows that neither training nor calibration has seen.

    With 1,600 rows for calibration and 4,000 for the test, the coverage has a standard deviation of
    1.2 percentage points.
    """
    wanted = 0.8
    (label,) = regression.columns.labels
    columns = dataclasses.replace(
        regression.columns, labels=(dataclasses.replace(label, interval=wanted),)
    )
    run = train(dataclasses.replace(regression, columns=columns), case, tmp_path)
    assert Label.of_export(run.export).calibration != 0.0
    held_out = houses.rows(4000, seed=3)
    (answers,) = scorer(run.export, [examples(regression, held_out)])
    low, middle, high = (
        answers[name][:, 0] for name in (heads.LOWER, heads.PREDICTIONS, heads.UPPER)
    )
    assert (low <= middle).all() and (middle <= high).all()
    prices = np.array([row["price"] for row in held_out])
    covered = np.mean((low <= prices) & (prices <= high))
    assert covered == pytest.approx(wanted, abs=0.03)
