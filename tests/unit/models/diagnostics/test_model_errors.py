"""Tests that a mistake in a user's model is explained in one line: where, what, and the remedy."""

import inspect
import pathlib
import random
import re

import pytest
import tensorflow as tf
import wrong_models
from etils import epath
from training_args import fn_args

from models import estimator_api
from models.diagnostics import graph_checks, model_errors
from models.diagnostics.model_errors import ModelError
from models.features.label import Label
from models.features.packed_tensors import Layout
from models.toolbox.context import Context
from models.training import fitting, session_hooks, trainer
from models.training.problem import Problem
from models.zoo import registry

FILE = pathlib.Path(wrong_models.__file__)
STANDS_STILL = "the train op does not increment the global step, so training would never end; write"
NO_VARIABLE = "the train op changes none of the 2 trainable variables; tf.keras.optimizers"


def made(name: str, folder, **own):
    """Returns the Estimator of a wrong model, without a table."""
    label = Label(**{"name": "price", "task": "regression", "mean": 0.0, "deviation": 1.0, **own})
    context = Context((label,), Layout((), (), ()), (), (), 100, 64)
    config = estimator_api.RunConfig(model_dir=str(folder), tf_random_seed=1)
    return registry.estimator(f"wrong_models.{name}", {"context": context}, config)


def rows():
    features = {"scaled": tf.random.uniform([64, 2], seed=1)}
    labels = tf.range(64, dtype=tf.float32)
    return tf.data.Dataset.from_tensor_slices((features, labels)).batch(16).repeat()


def receiver():
    features = {"scaled": tf.compat.v1.placeholder(tf.float32, [None, 2])}
    return estimator_api.ServingInputReceiver(features, features)


def train(name: str, folder, hooks=()) -> None:
    with model_errors.located([FILE.parent]):
        estimator = made(name, folder)
        estimator.train(rows, hooks=list(hooks), max_steps=4)
        estimator.evaluate(rows, steps=1)


@pytest.mark.parametrize(
    ("name", "where", "text"),
    [
        (
            "no_such_feature",
            "no_such_feature",
            "KeyError: features has no skaled; it has scaled",
        ),
        ("python_error", "python_error", "RuntimeError: the first line"),
        ("unequal_shapes", "<lambda>", "ValueError: Dimensions must be equal, but are 1 and 3"),
        (
            "unequal_in_a_step",
            "loss",
            "InvalidArgumentError: .*ncompatible shapes.*value.:, 0",
        ),
        ("no_such_row", "loss", r"InvalidArgumentError: indices\[0\] = \d+ is not in \[0, 2\)$"),
        ("wrong_layer", "wrong_layer", "ValueError: Input 0 of layer .* expected min_ndim=3"),
        (
            "no_train_op",
            "_spec",
            "ValueError: Missing train_op; return Estim.*global_step=",
        ),
        ("number_as_train_op", "_spec", "TypeError: train_op must be .* given: 3; the train op"),
        ("no_loss", "no_loss", r"ValueError: Missing loss; return EstimatorSpec\(mode, loss=loss"),
        ("losses_of_rows", "_spec", "InvalidArgumentError: Input to reshape.*tf.reduce_mean"),
        ("loss_of_integers", "_minimized", "ValueError: Invalid type tf.int32.*has to be a float"),
        ("loss_is_nan", None, "NanLossDuringTrainingError: NaN loss .*; lower the learning rate"),
        ("loss_without_gradient", "_minimized", "No gradients provided for any variable; the loss"),
        ("loss_of_numpy", "<lambda>", "NotImplementedError: Cannot convert a symb.*operations"),
        ("condition_of_python", "loss", "OperatorNotAllowedInGraphError: .*as tf.cond, tf.where"),
        ("labels_as_text", "_squares", "TypeError: .* string that does not match.*are float32"),
        ("labels_as_integers", "_squares", "TypeError: .*int32 that does not match.*are float32"),
        ("returns_nothing", None, r"returned nothing in mode train, expected an EstimatorSpec; "),
        ("returns_a_pair", None, r"returned a tuple in mode train, expected an EstimatorSpec; "),
        ("exits", "exits", r"sys.exit\(0\) would end the run before its verdict; raise an"),
        ("new_optimizer", None, f"{NO_VARIABLE}.*tf.keras.optimizers.legacy.Adam"),
        ("new_optimizer_minimizes", "train", "`tape` is required.*legacy.Adam.*get_updates"),
        ("step_not_counted", None, f"{STANDS_STILL} optimizer.minimize"),
        ("step_not_counted_by_keras", None, f"{STANDS_STILL}.*Keras optimizer's iterations"),
        ("step_counted_in_vain", None, STANDS_STILL),
        ("hook_fails", "after_run", "RuntimeError: no such file$"),
        ("other_variables", None, "Key only_eval not found in checkpoint; the graphs of training"),
    ],
)
def test_a_wrong_model_is_explained_in_one_line_with_its_position(tmp_path, name, where, text):
    with pytest.raises(ModelError) as caught:
        train(name, tmp_path)
    line = str(caught.value)
    assert "\n" not in line and len(line) < 650
    assert re.search(text, line), line
    if where:
        assert re.match(rf"\S*wrong_models\.py:\d+, in {where}: ", line), line
    elif "Nan" not in line and "Key " not in line:
        at = inspect.getsourcelines(getattr(wrong_models, name))[1]
        assert re.match(rf"\S*wrong_models\.py:{at}, in {name}: ", line), line


def test_a_model_may_be_any_callable(tmp_path):
    with pytest.raises(ModelError, match=r"wrong_models\.py:\d+, in __call__: returned nothing"):
        train("called", tmp_path)


def test_the_line_number_is_that_of_the_file(tmp_path):
    with pytest.raises(ModelError) as caught:
        train("no_such_row", tmp_path)
    number = int(re.findall(r":(\d+), in loss", str(caught.value))[0])
    assert "tf.nn.embedding_lookup" in FILE.read_text().splitlines()[number - 1]


@pytest.mark.parametrize("name", ["right", "step_of_four_batches"])
def test_a_correct_model_is_trained(tmp_path, name):
    train(name, tmp_path, [session_hooks.Standstill()])


@pytest.mark.parametrize(
    ("name", "label", "text"),
    [
        ("labels_when_serving", {}, "unsupported operand .*they are None when serving"),
        ("other_key", {}, "predictions: found price, expected predictions for the regression of"),
        ("vector_of_predictions", {}, r"found float32 of shape \[batch\], expected .*\[batch, 1\]"),
        ("text_predictions", {}, r"found string of shape \[batch, 1\], expected float32 of shape"),
        ("no_outputs", {}, r"no signature predict when serving; .*heads.export_outputs\(predict"),
        ("right", {"task": "binary", "classes": ("n", "y")}, "expected logistic for the binary of"),
        (
            "right",
            {"task": "multiclass", "classes": ("a", "b", "c")},
            r"expected probabilities for the multiclass of price; .* of shape \[batch, 3\]",
        ),
    ],
)
def test_serving_mistakes_are_found_before_training(tmp_path, name, label, text):
    with pytest.raises(ModelError, match=text) as caught, model_errors.located([FILE.parent]):
        graph_checks.check_serving(made(name, tmp_path, **label), receiver)
    assert re.match(r"\S*wrong_models\.py:\d+, in ", str(caught.value))


def test_run_fn_checks_serving_first(rich, tmp_path):
    with pytest.raises(ModelError, match="found price, expected predictions"):
        trainer.run_fn(fn_args(rich, tmp_path, ("wrong_models.other_key", {})))
    assert not list(tmp_path.rglob("model.ckpt-*"))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("right", None),
        ("averages_stand_still", r"nothing updates the moving averages .*\(normal/moving_mean\)"),
        ("summary_of_tensorflow_2", "tf.summary.scalar writes nothing here; use tf.compat.v1.su"),
        ("column_minus_vector", r"in <lambda>: \[batch, 1\] minus \[batch\] is \[batch, batch\]"),
    ],
)
def test_silent_mistakes_are_noted(tmp_path, name, text):
    events = []
    train(name, tmp_path, [graph_checks.Notes(lambda **message: events.append(message))])
    assert len(events) == (1 if text else 0)
    for message in events:
        assert message["event"] == "note" and re.search(text, message["text"])
        assert re.match(r"\S*wrong_models\.py:\d+, in ", message["text"])


def test_a_stuck_global_step_ends_the_training(tmp_path, monkeypatch):
    """Slow steps do not: the number of runs counts too, after a minimum of seconds."""
    monkeypatch.setattr(session_hooks, "_STILL_RUNS", 20)
    monkeypatch.setattr(session_hooks, "_STILL_SECONDS", 0.0)
    with pytest.raises(ModelError, match="the global step is stuck at 0 after 20 runs of the"):
        train("step_counted_by_nothing", tmp_path, [session_hooks.Standstill()])


def test_a_waiting_run_is_not_stuck(monkeypatch):
    clock = iter([0.0, 100.0, 200.0])
    monkeypatch.setattr(session_hooks.time, "monotonic", lambda: next(clock, 1000.0))
    hook = session_hooks.Standstill()
    for step in (0, 0, 1, 1, 2):
        hook.after_run(None, tf.compat.v1.train.SessionRunValues(step, None, None))


def test_fit_names_the_line_of_a_failing_step(rich, tmp_path):
    problem = Problem.of(
        fn_args(rich, tmp_path, ("wrong_models.unequal_in_a_step", {}), max_steps=2)
    )
    with pytest.raises(ModelError, match=r"wrong_models\.py:\d+, in loss: InvalidArgumentError"):
        fitting.fit(problem, problem.context(), epath.Path(tmp_path))


def test_errors_unrelated_to_the_model_pass_unchanged():
    for error in (ValueError("of the data"), KeyError("x"), OSError(28, "No space left on device")):
        with pytest.raises(type(error)) as caught, model_errors.located([FILE.parent / "none"]):
            raise error
        assert caught.value is error
    busy = tf.errors.UnavailableError(None, None, "the other task is gone")
    with pytest.raises(tf.errors.UnavailableError), model_errors.located([FILE.parent]):
        raise busy
    with pytest.raises(SystemExit), model_errors.located([]):
        raise SystemExit(0)


def test_checking_serving_restores_the_random_state(tmp_path):
    random.seed(1)
    before = random.getstate()
    graph_checks.check_serving(made("right", tmp_path), receiver)
    assert random.getstate() == before
