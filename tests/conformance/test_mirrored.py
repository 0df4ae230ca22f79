"""Training with two replicas, each with half of every batch, equals training in one process."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from models.settings.training_settings import Replicas
from models.training import fitting
from tests.conformance.lab import CASES, examples, problem_of, summaries, train, variables

STEPS = 30
MIRRORED = Replicas(2)
REFUSED = ("keras.mlp", "premade.dnn_linear_combined")
LENGTH: dict[str, Any] = {"max_steps": STEPS, "evaluate_every": STEPS // 2}

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def devices():
    """Lets a strategy name devices that TensorFlow, once begun by another test, does not have."""
    placed = tf.config.get_soft_device_placement()
    tf.config.set_soft_device_placement(True)
    yield
    tf.config.set_soft_device_placement(placed)


def without_dropout(case):
    """Returns the case with dropout 0, as replicas would drop other units than one process."""
    return dataclasses.replace(
        case,
        params={name: value for name, value in case.params.items() if name != "dropout"}
        | ({"dropout": 0.0} if case.dropout else {}),
    )


def both(table, case, folder, **changes):
    alone = train(table, case, folder / "alone", **LENGTH, **changes)
    return alone, train(table, case, folder / "mirrored", cluster=MIRRORED, **LENGTH, **changes)


def learned_alike(alone, mirrored) -> None:
    assert mirrored.best["step"] == alone.best["step"]
    assert mirrored.best["loss"] == pytest.approx(alone.best["loss"], rel=1e-3)
    expected, found = (variables(run.directory, STEPS) for run in (alone, mirrored))
    shapes = [{name: value.shape for name, value in one.items()} for one in (expected, found)]
    assert shapes[0] == shapes[1], "checkpoints are of one form"
    assert found["global_step"] == STEPS, "steps are counted, not replicas"
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-2, atol=1e-4, err_msg=name)
    shown = [summaries(run.directory) for run in (alone, mirrored)]
    assert shown[0].keys() == shown[1].keys()
    losses = [dict(one["loss"]) for one in shown]
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)


@pytest.mark.parametrize(
    "case",
    [case for case in map(without_dropout, CASES) if case.model not in REFUSED],
    ids=lambda case: case.id,
)
def test_replicas_learn_what_one_process_learns(case, regression, tmp_path, scorer):
    alone, mirrored = both(regression, case, tmp_path)
    learned_alike(alone, mirrored)
    requests = examples(regression, regression.eval_rows[:20])
    [expected] = scorer(alone.export, [requests])
    [found] = scorer(mirrored.export, [requests])
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-2)


def test_weights_decay_and_averages_apply_to_the_whole_batch(several, tmp_path):
    """The halves of a batch have different weights: 60 % of the rows have weight zero."""
    (tabm,) = [without_dropout(case) for case in CASES if case.id == "tabm"]
    case = dataclasses.replace(tabm, params={**tabm.params, "average": 0.9, "clip_norm": 0.1})
    learned_alike(*both(several, case, tmp_path))


def test_a_killed_mirrored_training_ends_like_an_uninterrupted_one(regression, tmp_path):
    """The case has dropout, whose random draws must continue as well."""
    (case,) = [case for case in CASES if case.id == "mlp"]
    whole = train(regression, case, tmp_path / "whole", cluster=MIRRORED, **LENGTH)
    half = problem_of(regression, case, cluster=MIRRORED, **LENGTH)
    directory = tmp_path / "killed"
    estimator = fitting.make_estimator(half, whole.context, directory, replicas=2)
    estimator.train(half.train_input(whole.context.rows), max_steps=STEPS // 2)
    fitting.fit(half, whole.context, directory)
    expected, found = (variables(at, STEPS) for at in (whole.directory, directory))
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-6, err_msg=name)
    assert json.loads((directory / "best" / "best.json").read_text())["step"] == whole.best["step"]
