"""Our wide & deep `model_fn` learns as well as the premade estimator of TensorFlow."""

import numpy as np
import pytest

from models.training import fitting
from tests.conformance.lab import Case, problem_of

STEPS = 300
SEEDS = range(1, 6)
PARAMS = {"hidden": [64], "embedding": 4, "learning_rate": 0.01, "linear_learning_rate": 0.1}
LIMIT = 2.0
"""If two models are equally good, one draw of seeds in twenty-five lies above it."""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def losses(regression, tmp_path_factory):
    """Eval losses of a model after a few steps, one for each seed."""

    def losses(model: str, **changes: float) -> np.ndarray:
        return np.array([loss(Case(model, model, {**PARAMS, **changes}), seed) for seed in SEEDS])

    def loss(case: Case, seed: int) -> float:
        problem = problem_of(regression, case, seed=seed, max_steps=STEPS)
        context = problem.context()
        estimator = fitting.make_estimator(problem, context, tmp_path_factory.mktemp(case.id))
        estimator.train(problem.train_input(context.rows), max_steps=STEPS)
        return float(estimator.evaluate(problem.eval_input())["loss"])

    return losses


@pytest.fixture(scope="module")
def premade(losses) -> np.ndarray:
    return losses("premade.dnn_linear_combined")


def how_much_worse(one: np.ndarray, other: np.ndarray) -> float:
    """Returns Welch's t: the difference of the means, in standard errors of that difference."""
    error = np.sqrt((one.var(ddof=1) + other.var(ddof=1)) / len(SEEDS))
    return float((one.mean() - other.mean()) / error)


def test_wide_deep_is_as_good_as_the_premade_model(losses, premade):
    """Both learn by one recipe, and differ by the draw of their weights alone."""
    assert how_much_worse(losses("wide_deep"), premade) < LIMIT


@pytest.mark.parametrize("part", ["learning_rate", "linear_learning_rate"])
def test_wide_deep_is_worse_if_a_part_of_it_does_not_learn(losses, premade, part):
    assert how_much_worse(losses("wide_deep", **{part: 1e-9}), premade) > LIMIT
