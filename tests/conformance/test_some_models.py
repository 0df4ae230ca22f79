"""What only some of the models promise: intervals, and being as good as each other."""

import numpy as np
import pytest

from models import heads
from models.label import Label
from tests.conformance import houses
from tests.conformance.lab import CASES, Case, examples, train

WANTED = 0.8


@pytest.mark.parametrize("name", ["tabm", "premade.dnn_linear_combined"])
def test_intervals_cover_what_they_promise(regression, scorer, name, tmp_path):
    """On rows that neither training nor calibration has seen, by the exported model.

    800 rows calibrate and 2,000 test: what is covered has a standard deviation of 1.7 points.
    """
    (case,) = (case for case in CASES if case.id == name)
    labels = [{**label, "interval": WANTED} for label in regression.problem["labels"]]
    run = train(regression, case, tmp_path, {"labels": labels})
    assert Label.of_export(run.export).calibration != 0.0
    held_out = houses.rows(2000, seed=3)
    (answers,) = scorer(run.export, [examples(regression, held_out)])
    low, middle, high = (
        answers[name][:, 0] for name in (heads.LOWER, heads.PREDICTIONS, heads.UPPER)
    )
    assert (low <= middle).all() and (middle <= high).all()
    prices = np.array([row["price"] for row in held_out])
    covered = np.mean((low <= prices) & (prices <= high))
    assert covered == pytest.approx(WANTED, abs=0.04)


SEEDS = range(1, 6)


def test_wide_deep_is_as_good_as_the_premade_estimator(regression, tmp_path):
    """Both learn by one recipe and differ by the draw of their weights alone.

    The statistic is Welch's: the difference of the mean eval losses of five seeds each, in standard
    errors of that difference.
    """
    params = {"hidden": [32], "embedding": 4, "learning_rate": 0.02}
    losses = {
        name: [
            eval_loss(regression, Case(name, name, params), seed, tmp_path / f"{name}-{seed}")
            for seed in SEEDS
        ]
        for name in ("wide_deep", "premade.dnn_linear_combined")
    }
    print(losses)
    ours, theirs = losses.values()
    error = np.sqrt((np.var(ours, ddof=1) + np.var(theirs, ddof=1)) / len(SEEDS))
    assert abs(np.mean(ours) - np.mean(theirs)) < 2.0 * error


def eval_loss(table, case, seed, folder) -> float:
    """Of the last of 300 steps."""
    run = train(table, case, folder, seed=seed, max_steps=300, evaluate_every=300)
    return run.best["loss"]
