"""Our wide & deep `model_fn` is TensorFlow's premade one, written in the open."""

import numpy as np
import pytest

from tests.conformance.lab import Case, train

SEEDS = range(1, 6)
HIDDEN = {"hidden": [32], "embedding": 4}


@pytest.mark.slow
def test_it_equals_the_premade_one_within_noise(regression, tmp_path):
    """By the difference of mean eval losses over seeds, in its own standard errors.

    The premade network without a wide part shows that a difference would be seen.
    """

    def losses(model: str) -> np.ndarray:
        case = Case(model, model, HIDDEN)
        runs = (train(regression, case, tmp_path / f"{model}-{s}", seed=s) for s in SEEDS)
        return np.array([run.best["loss"] for run in runs])

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        error = np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / len(SEEDS))
        return abs(one.mean() - other.mean()) / error

    ours = losses("wide_deep")
    assert apart(ours, losses("premade.dnn_linear_combined")) < 3
    assert losses("premade.dnn").mean() > 1.5 * ours.mean(), "without a wide part it shows"
