"""Tests of the heads' losses, predictions and metrics against numpy and scikit-learn."""

import dataclasses

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from models.estimator_api import ModeKeys
from models.features.label import Label
from models.toolbox import heads

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


def evaluated(head, labels, logits, weights=None) -> dict[str, float]:
    """Returns the head's metrics after one batch."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        features = {} if weights is None else {"weight": tf.constant(weights)}
        metrics = head.update_metrics(
            head.metrics(), features, tf.constant(logits), tf.constant(labels)
        )
        session.run([variable.initializer for m in metrics.values() for variable in m.variables])
        session.run(tf.compat.v1.tables_initializer())
        session.run([update for metric in metrics.values() for update in metric.updates])
        return {name: float(session.run(metric.result())) for name, metric in metrics.items()}


def outputs(head, logits) -> dict[str, np.ndarray]:
    return {k: v.numpy() for k, v in head.predictions(tf.constant(logits)).items()}


def test_the_task_chooses_the_head_and_its_logits():
    assert isinstance(heads.for_label(PLAIN), heads.RegressionHead)
    sizes = [heads.for_label(label).logits_dimension for label in (PLAIN, BINARY, MULTI)]
    assert sizes == [1, 1, 3]


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
@examples(50)
@given(st.lists(st.floats(0, 1e7, width=32), min_size=1, max_size=20))
def test_predictions_undo_the_scale(label, values):
    """Logits without a loss predict the label."""
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


def test_an_extreme_extrapolation_stays_finite():
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


def test_an_unseen_class_always_counts_as_wrong():
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


MEMBERS = rng.normal(0, 2, (50, 4, 3)).astype(np.float32)
INTERVAL = dataclasses.replace(LOG, interval=0.8)


def loss(head, labels, logits, mode=ModeKeys.TRAIN, **features) -> float:
    features = {name: tf.constant(value) for name, value in features.items()}
    return float(head.loss(tf.constant(labels), tf.constant(logits), features, mode))


@pytest.mark.parametrize(
    "label, values, width", [(LOG, VALUES, 1), (BINARY, ANSWERS, 1), (MULTI, CLASSES, 3)]
)
def test_members_are_trained_separately_and_evaluated_together(label, values, width):
    head, logits = heads.for_label(label), MEMBERS[:, :, :width]
    alone = [loss(head, values, logits[:, member]) for member in range(4)]
    assert loss(head, values, logits) == pytest.approx(np.mean(alone), rel=1e-5)
    together = loss(head, values, logits, ModeKeys.EVAL)
    assert together < 0.95 * np.mean(alone), "a mean errs less than its parts"
    name = "predictions" if label is LOG else "probabilities"
    found = outputs(head, logits)[name]
    parts = np.array([outputs(head, logits[:, member])[name] for member in range(4)])
    if label is LOG:
        np.testing.assert_allclose(np.log1p(found), np.log1p(parts).mean(axis=0), rtol=1e-4)
    else:
        np.testing.assert_allclose(found, parts.mean(axis=0), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "label, values, logits", [(PLAIN, VALUES, LOGIT), (BINARY, ANSWERS, LOGIT)]
)
def test_a_weight_of_two_counts_a_row_twice(label, values, logits):
    head = heads.for_label(label)
    counts = rng.integers(0, 3, len(values))
    weighted = loss(head, values, logits, weight=counts.astype(np.float32))
    repeated = loss(head, np.repeat(values, counts), np.repeat(logits, counts, axis=0))
    assert weighted == pytest.approx(repeated, rel=1e-5)
    found = evaluated(head, values, logits, counts.astype(np.float32))
    expected = evaluated(head, np.repeat(values, counts), np.repeat(logits, counts, axis=0))
    assert found == pytest.approx(expected, rel=1e-4)


def test_weights_of_zero_give_a_loss_of_zero():
    assert loss(heads.for_label(PLAIN), VALUES, LOGIT, weight=np.zeros(50, np.float32)) == 0.0


@pytest.mark.parametrize(
    "label, values, logits", [(BINARY, ANSWERS, LOGIT), (MULTI, CLASSES, LOGITS)]
)
def test_class_weights_weigh_the_rows_of_a_class(label, values, logits):
    weights = tuple(float(i + 1) for i in range(len(label.classes)))
    rows = np.array([weights[label.classes.index(value)] for value in values], np.float32)
    weighted = heads.for_label(dataclasses.replace(label, class_weights=weights))
    expected = loss(heads.for_label(label), values, logits, weight=rows)
    assert loss(weighted, values, logits) == pytest.approx(expected, rel=1e-5)
    both = loss(weighted, values, logits, weight=rows)
    expected = loss(heads.for_label(label), values, logits, weight=rows * rows)
    assert both == pytest.approx(expected, rel=1e-5)


def test_an_interval_is_learned_by_the_pinball_loss():
    """Among constant intervals the quantiles of the label have the smallest loss."""
    head = heads.for_label(INTERVAL)
    targets = (np.log1p(VALUES) - 6.1) / 0.5
    low, high = np.quantile(targets, [0.1, 0.9])

    def at(low, high):
        return loss(head, VALUES, np.tile([[0.0, low, high]], (50, 1)).astype(np.float32))

    assert at(low, high) < min(at(low - 0.2, high), at(low + 0.2, high), at(low, high + 0.2))
    assert at(low, high) < at(low, high - 0.2)


def test_an_interval_contains_its_prediction_and_is_shifted_by_the_calibration():
    crossed = rng.normal(0, 1, (50, 3)).astype(np.float32)
    for by in (0.0, 0.3, -0.3):
        head = heads.for_label(dataclasses.replace(INTERVAL, calibration=by))
        found = outputs(head, crossed)
        assert (found["lower"] <= found["predictions"]).all()
        assert (found["predictions"] <= found["upper"]).all()
    apart = np.array([[0.0, -1.0, 2.0]], np.float32)
    head = heads.for_label(dataclasses.replace(INTERVAL, calibration=0.25))
    ends = [outputs(head, apart)[end][0, 0] for end in ("lower", "upper")]
    np.testing.assert_allclose(ends, np.expm1(np.array([-1.25, 2.25]) * 0.5 + 6.1), rtol=1e-5)
    assert outputs(heads.for_label(INTERVAL), apart).keys() == {"predictions", "lower", "upper"}


def test_several_labels_share_logits_and_add_their_losses():
    labels = [LOG, dataclasses.replace(BINARY, name="b"), dataclasses.replace(MULTI, name="m")]
    together = heads.for_labels(labels)
    parts = [heads.for_label(label) for label in labels]
    assert together.logits_dimension == 5
    logits = np.concatenate([LOGIT, LOGIT, LOGITS], axis=1)
    values = {"y": VALUES, "b": ANSWERS, "m": CLASSES}
    tensors = {name: tf.constant(value) for name, value in values.items()}
    own = (LOGIT, LOGIT, LOGITS)
    expected = [loss(head, values[head.name], part) for head, part in zip(parts, own)]
    assert float(together.loss(tensors, tf.constant(logits))) == pytest.approx(sum(expected))
    found = outputs(together, logits)
    assert set(found) == {
        "predictions", "b/logistic", "b/probabilities", "b/classes", "m/probabilities", "m/classes"
    }  # fmt: skip
    np.testing.assert_array_equal(found["m/classes"], outputs(parts[2], LOGITS)["classes"])
    assert set(together.metrics()) == {"rmse", "mae", "rmsle", "b/accuracy", "b/auc", "m/accuracy"}


@pytest.mark.parametrize("mode", [ModeKeys.TRAIN, ModeKeys.EVAL, ModeKeys.PREDICT])
def test_the_spec_of_each_mode(mode):
    with tf.Graph().as_default():
        weight = tf.compat.v1.get_variable("w", [50, 1])
        step = tf.compat.v1.train.get_or_create_global_step()
        spec = heads.for_label(LOG).create_estimator_spec(
            {}, mode, weight, tf.constant(VALUES), train_op_fn=lambda loss: step.assign_add(1)
        )
    assert (spec.train_op is not None) == (mode == ModeKeys.TRAIN)
    assert bool(spec.eval_metric_ops) == (mode == ModeKeys.EVAL)
    assert bool(spec.export_outputs) == (mode == ModeKeys.PREDICT)


def test_training_requires_exactly_one_of_optimizer_and_train_op_fn():
    with tf.Graph().as_default(), pytest.raises(ValueError, match="an optimizer or a train_op_fn"):
        heads.for_label(LOG).create_estimator_spec(
            {}, ModeKeys.TRAIN, tf.constant(LOGIT), tf.constant(VALUES)
        )
