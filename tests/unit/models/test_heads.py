"""What logits mean, against numpy and scikit-learn."""

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from models import heads
from models.label import Label

PLAIN = Label("y", "regression", False, 540.0, 360.0, 6.1, 0.5, 450.0)
LOG = Label("y", "regression", True, 540.0, 360.0, 6.1, 0.5, 450.0)
BINARY = Label("y", "binary", classes=("no", "yes"), frequencies=(0.7, 0.3))
MULTI = Label("y", "multiclass", classes=("9", "10", "11"), frequencies=(0.2, 0.5, 0.3))

rng = np.random.default_rng(0)
VALUES = rng.lognormal(6, 1, 50).astype(np.float32)
LOGIT = rng.normal(0, 1, (50, 1)).astype(np.float32)
LOGITS = rng.normal(0, 1, (50, 3)).astype(np.float32)
ANSWERS = rng.choice(["no", "yes"], 50)
CLASSES = rng.choice(["9", "10", "11"], 50)


def evaluated(head, labels, logits) -> dict[str, float]:
    """The head's metrics after one batch."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        metrics = head.metrics(tf.constant(labels), head.predictions(tf.constant(logits)))
        session.run([tf.compat.v1.local_variables_initializer(), tf.compat.v1.tables_initializer()])
        session.run([update for _, update in metrics.values()])
        return {name: float(session.run(value)) for name, (value, _) in metrics.items()}


def outputs(head, logits) -> dict[str, np.ndarray]:
    return {k: v.numpy() for k, v in head.predictions(tf.constant(logits)).items()}


def test_the_task_chooses_the_head_and_its_logits():
    assert isinstance(heads.for_label(PLAIN), heads.RegressionHead)
    assert [heads.for_label(label).logits for label in (PLAIN, BINARY, MULTI)] == [1, 1, 3]


@pytest.mark.parametrize(
    "label, scale",
    [(PLAIN, lambda y: (y - 540) / 360), (LOG, lambda y: (np.log1p(y) - 6.1) / 0.5)],
)
def test_regression_loss_is_the_squared_error_of_the_standardised_label(label, scale):
    loss = heads.for_label(label).loss(tf.constant(VALUES), tf.constant(LOGIT))
    assert float(loss) == pytest.approx(np.mean((scale(VALUES) - LOGIT[:, 0]) ** 2), rel=1e-4)


def test_a_negative_label_counts_as_zero_on_the_log_scale():
    head = heads.for_label(LOG)
    negative, zero = (head.loss(tf.constant([y]), tf.constant([[0.3]])) for y in (-5.0, 0.0))
    assert float(negative) == float(zero)


@pytest.mark.parametrize("label", [PLAIN, LOG])
@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1e7, width=32), min_size=1, max_size=20))
def test_predictions_undo_the_scale(label, values):
    """Logits that have no loss predict the label."""
    head = heads.for_label(label)
    values = np.array(values, np.float64)
    targets = (np.log1p(values) - 6.1) / 0.5 if label.log else (values - 540) / 360
    logits = targets[:, np.newaxis].astype(np.float32)
    assert float(head.loss(tf.constant(values, tf.float32), tf.constant(logits))) < 1e-6 * max(
        1.0, float(np.max(targets**2))
    )
    predictions = outputs(head, logits)
    assert list(predictions) == ["predictions"]
    assert predictions["predictions"].shape == (len(values), 1)
    np.testing.assert_allclose(predictions["predictions"][:, 0], values, rtol=1e-4, atol=1e-3)


def test_a_wild_extrapolation_stays_a_number():
    assert np.isfinite(outputs(heads.for_label(LOG), [[1e6], [-1e6]])["predictions"]).all()


@pytest.mark.parametrize("label", [PLAIN, LOG])
def test_regression_metrics(label):
    head = heads.for_label(label)
    metrics = evaluated(head, VALUES, LOGIT)
    predicted = np.maximum(outputs(head, LOGIT)["predictions"][:, 0], 0 if label.log else -np.inf)
    assert metrics["rmse"] == pytest.approx(
        sklearn.metrics.mean_squared_error(VALUES, predicted) ** 0.5, rel=1e-4
    )
    assert metrics["mae"] == pytest.approx(
        sklearn.metrics.mean_absolute_error(VALUES, predicted), rel=1e-4
    )
    assert ("rmsle" in metrics) == label.log
    if label.log:
        assert metrics["rmsle"] == pytest.approx(
            sklearn.metrics.mean_squared_log_error(VALUES, predicted) ** 0.5, rel=1e-4
        )


def test_binary_outputs_and_loss():
    head = heads.for_label(BINARY)
    positive = 1 / (1 + np.exp(-LOGIT[:, 0].astype(float)))
    found = outputs(head, LOGIT)
    assert set(found) == {"logistic", "probabilities", "classes"}
    np.testing.assert_allclose(found["logistic"][:, 0], positive, rtol=1e-5)
    np.testing.assert_allclose(
        found["probabilities"], np.stack([1 - positive, positive], axis=1), rtol=1e-4
    )
    expected = np.where(positive > 0.5, b"yes", b"no")
    np.testing.assert_array_equal(found["classes"][:, 0], expected)
    loss = float(head.loss(tf.constant(ANSWERS), tf.constant(LOGIT)))
    assert loss == pytest.approx(
        sklearn.metrics.log_loss(ANSWERS, positive, labels=["no", "yes"]), rel=1e-5
    )


def test_multiclass_outputs_and_loss():
    head = heads.for_label(MULTI)
    exponentials = np.exp(LOGITS.astype(float))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    found = outputs(head, LOGITS)
    assert set(found) == {"probabilities", "classes"}
    np.testing.assert_allclose(found["probabilities"], probabilities, rtol=1e-5)
    expected = np.array([b"9", b"10", b"11"])[probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(found["classes"][:, 0], expected)
    truth = [("9", "10", "11").index(value) for value in CLASSES]
    assert float(head.loss(tf.constant(CLASSES), tf.constant(LOGITS))) == pytest.approx(
        sklearn.metrics.log_loss(truth, probabilities, labels=[0, 1, 2]), rel=1e-5
    )


def test_binary_metrics():
    metrics = evaluated(heads.for_label(BINARY), ANSWERS, LOGIT)
    assert metrics["accuracy"] == pytest.approx(np.mean((LOGIT[:, 0] > 0) == (ANSWERS == "yes")))
    assert metrics["auc"] == pytest.approx(
        sklearn.metrics.roc_auc_score(ANSWERS == "yes", LOGIT[:, 0]), abs=5e-3
    )


def test_multiclass_metrics():
    metrics = evaluated(heads.for_label(MULTI), CLASSES, LOGITS)
    predicted = np.array(["9", "10", "11"])[LOGITS.argmax(axis=1)]
    assert metrics == {"accuracy": pytest.approx(np.mean(predicted == CLASSES))}


def test_a_class_that_training_never_saw_is_evaluated_and_never_right():
    head = heads.for_label(MULTI)
    loss = head.loss(tf.constant(["12", "12"]), tf.constant(LOGITS[:2]))
    assert np.isfinite(float(loss))
    assert evaluated(head, np.array(["12", "12"]), LOGITS[:2]) == {"accuracy": 0.0}


def test_signatures():
    with tf.Graph().as_default():
        predictions = heads.for_label(BINARY).predictions(tf.constant(LOGIT))
        exported = heads.export_outputs(predictions)
    assert set(exported) == {"predict", "serving_default"}
    assert all(set(output.outputs) == set(predictions) for output in exported.values())
