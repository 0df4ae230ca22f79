"""Intervals cover the share of the labels that the configuration asks for."""

import dataclasses

import numpy as np
import pytest

from models.features.label import Label
from models.toolbox import heads
from tests.conformance import houses
from tests.conformance.lab import CASES, examples, train

WANTED = 0.8


@pytest.mark.parametrize(
    "name",
    [
        "wide_deep",
        pytest.param("tabm", marks=pytest.mark.slow),
        pytest.param("premade.dnn_linear_combined", marks=pytest.mark.slow),
    ],
)
def test_intervals_cover_the_requested_share_of_labels(regression, scorer, name, tmp_path):
    """Checks the exported model on rows that neither training nor calibration has seen.

    With 1,600 rows for calibration and 4,000 for the test, the coverage has a standard deviation of
    1.2 percentage points.
    """
    (case,) = (case for case in CASES if case.id == name)
    (label,) = regression.columns.labels
    columns = dataclasses.replace(
        regression.columns, labels=(dataclasses.replace(label, interval=WANTED),)
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
    assert covered == pytest.approx(WANTED, abs=0.03)
