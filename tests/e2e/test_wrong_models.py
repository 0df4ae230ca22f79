"""User models that seem to do well but fail or cheat when served, and so must not be blessed."""

import numpy as np
import pandas as pd
import pytest

from tests.e2e.conftest import Problem, problem, states

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MODELS = """
import numpy as np
import tensorflow as tf

from models.toolbox import heads
from models.estimator_api import EstimatorSpec, ModeKeys


def network(features, mode, params, change=lambda numbers, training: numbers):
    label = params["context"].labels[0]
    numbers = tf.concat([features["scaled"], features["quantile"]], axis=1)
    numbers = change(numbers, mode == ModeKeys.TRAIN)
    hidden = tf.keras.layers.Dense(16, activation="relu")(numbers)
    value = tf.keras.layers.Dense(1)(hidden)
    return label.mean + label.deviation * value


def spec(features, labels, mode, params, value, signatures=None, change=None):
    label = params["context"].labels[0]
    if mode == ModeKeys.PREDICT:
        outputs = heads.export_outputs({"predictions": change(value) if change else value})
        outputs.update(signatures or {})
        return EstimatorSpec(mode, predictions={"predictions": value}, export_outputs=outputs)
    loss = tf.reduce_mean(((value[:, 0] - labels) / label.deviation) ** 2)
    step = tf.compat.v1.train.get_or_create_global_step()
    train = tf.compat.v1.train.AdamOptimizer(0.02).minimize(loss, step)
    return EstimatorSpec(mode, loss=loss, train_op=train)


def good(features, labels, mode, params, config):
    return spec(features, labels, mode, params, network(features, mode, params))


def python(features, labels, mode, params, config):
    def change(numbers, training):
        width = numbers.shape[1]
        soft = tf.numpy_function(lambda x: np.tanh(x).astype(np.float32), [numbers], tf.float32)
        return tf.ensure_shape(soft, [None, width])

    return spec(features, labels, mode, params, network(features, mode, params, change))


def peeks(features, labels, mode, params, config):
    def change(value):
        records = tf.compat.v1.get_default_graph().get_tensor_by_name("examples:0")
        gap = tf.io.FixedLenFeature([1], tf.float32, [0.0])
        return tf.io.parse_example(records, {"cost": gap})["cost"] + 0.0 * value

    value = network(features, mode, params)
    return spec(features, labels, mode, params, value, change=change)


def by_batch(features, labels, mode, params, config):
    def change(numbers, training):
        deviation = tf.math.reduce_std(numbers, axis=0) + 1e-3
        return (numbers - tf.reduce_mean(numbers, axis=0)) / deviation

    return spec(features, labels, mode, params, network(features, mode, params, change))


def two_faces(features, labels, mode, params, config):
    value = network(features, mode, params)
    other = tf.compat.v1.estimator.export.RegressionOutput(value / 1000)
    signatures = {"serving_default": other}
    return spec(features, labels, mode, params, value, signatures)


def at_random(features, labels, mode, params, config):
    value = network(features, mode, params)

    def change(value):
        return value + tf.random.normal(tf.shape(value))

    return spec(features, labels, mode, params, value, change=change)
"""


@pytest.fixture(scope="module")
def costs(tmp_path_factory) -> Problem:
    """Returns a problem whose good model is blessed."""
    folder = tmp_path_factory.mktemp("costs")
    rng = np.random.default_rng(1)
    size, rooms = rng.normal(50, 10, 600).round(1), rng.integers(1, 6, 600)
    cost = (3 * size + 10 * rooms + rng.normal(0, 3, 600)).round(2)
    pd.DataFrame({"size": size, "rooms": rooms, "cost": cost}).to_csv(
        folder / "costs.csv", index=False
    )
    (folder / "my_models.py").write_text(MODELS)
    return problem(
        folder,
        {
            "data": "costs.csv",
            "label": "cost",
            "task": "regression",
            "log_label": False,
            "model": "my_models.good",
            "train": {"max_steps": 200, "evaluate_every": 100},
            "gates": {"rmse": {"at_most": 30}},
        },
    )


def test_a_good_model_is_blessed(costs):
    output = costs.run()
    assert "Blessed and pushed to" in output
    assert states(output)["ServingCheck"] == "done"
    assert len(costs.versions) == 1


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("python", "FAIL  The export calls a Python function (PyFunc, node "),
        ("peeks", "FAIL  RMSE is "),
        (
            "by_batch",
            "FAIL  predictions differs between a row in a batch and the same row ",
        ),
        ("two_faces", "between the signatures predict and serving_default in "),
        ("at_random", "FAIL  predictions differs when the same batch is sent twice in "),
    ],
)
def test_a_wrong_model_is_not_blessed(costs, model, told):
    before = costs.versions
    output = costs.run(f"model=my_models.{model}", code=3)
    assert told in output
    assert "Not blessed" in output
    assert costs.versions == before
