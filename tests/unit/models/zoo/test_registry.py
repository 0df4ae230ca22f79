"""Tests of the registry of models."""

import pytest
import tensorflow as tf

from models import estimator_api
from models.features.label import Label
from models.features.packed_tensors import Layout
from models.toolbox.context import Context
from models.zoo import registry, tabm
from models.zoo.premade import linear


def test_models_are_loaded_by_short_name_or_dotted_path():
    assert registry.load("tabm") is tabm.model_fn
    assert registry.load("models.zoo.tabm.model_fn") is tabm.model_fn
    assert registry.load("premade.linear") is linear.estimator


_BROKEN = {
    "quits_of_test": "x = 1\nquit()",
    "exits_of_test": "import sys\n\nsys.exit(0)",
    "misspelt_of_test": "import json\n\ndef model_fn(:\n    pass",
    "divides_of_test": "def f():\n    return 1 / 0\n\nf()",
    "imports_of_test": "\nfrom json import no_such_name",
    "deep_of_test": "import divides_of_test",
}


@pytest.fixture
def own_model(tmp_path, monkeypatch):
    """Writes modules beside the configuration with correct and incorrect model functions."""
    (tmp_path / "own_model_of_test.py").write_text(
        "def model_fn(features, labels): ...\ndef good(features, labels, mode, params, config): ..."
    )
    (tmp_path / "broken_of_test.py").write_text("import no_such_package")
    for name, code in _BROKEN.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("wide_dep", "model.name: no registered model is called wide_dep; did you mean wide_deep?"),
        ("zzz", "is called zzz (known: tabm, mlp, wide_deep"),
        ("premade.liner", "is called premade.liner; did you mean premade.linear?"),
        ("no_such.model_fn", "model.name: no_such.model_fn: cannot import no_such; put the file"),
        (
            "broken_of_test.f",
            "broken_of_test.f: cannot import no_such_package (HERE/broken_of_test.py:1); put the",
        ),
        (
            "quits_of_test.f",
            "cannot import quits_of_test (HERE/quits_of_test.py:2): sys.exit(None) ends the run",
        ),
        (
            "exits_of_test.f",
            "cannot import exits_of_test (HERE/exits_of_test.py:3): sys.exit(0) ends the run",
        ),
        (
            "misspelt_of_test.f",
            "misspelt_of_test (HERE/misspelt_of_test.py:3): SyntaxError: invalid syntax",
        ),
        (
            "divides_of_test.f",
            "(HERE/divides_of_test.py:2, in f): ZeroDivisionError: division by zero",
        ),
        (
            "deep_of_test.f",
            "import deep_of_test (HERE/divides_of_test.py:2, in f): ZeroDivisionError",
        ),
        (
            "imports_of_test.f",
            "(HERE/imports_of_test.py:2): ImportError: cannot import name 'no_such_name' from",
        ),
        ("models.zoo.wide_deep.nothing", "module models.zoo.wide_deep has no nothing()"),
        (
            "own_model_of_test.model_fn",
            "expected model_fn(features, labels, mode, params, config) or "
            "model_fn(params, config), found model_fn(features, labels)",
        ),
    ],
)
def test_a_model_that_cannot_be_loaded_is_explained(own_model, tmp_path, name, message):
    with pytest.raises(ValueError) as refusal:
        registry.load(name)
    assert message.replace("HERE", str(tmp_path)) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_parameters_are_checked_where_the_model_declares_them(own_model):
    registry.check("wide_deep", {})
    registry.check("own_model_of_test.good", {"anything": 1})
    with pytest.raises(ValueError, match="model.params.no_such: unknown parameter"):
        registry.check("wide_deep", {"no_such": 1})


def test_a_factory_is_called_and_a_model_fn_is_wrapped(own_model, tmp_path):
    (tmp_path / "factory_of_test.py").write_text(
        "def estimator(params, config): return params['word'], config.model_dir"
    )
    config = estimator_api.RunConfig(model_dir=str(tmp_path / "model"))
    made = registry.estimator("factory_of_test.estimator", {"word": "mine"}, config)
    assert made == ("mine", str(tmp_path / "model"))
    wrapped = registry.estimator("own_model_of_test.good", {"word": "mine"}, config)
    assert isinstance(wrapped, estimator_api.Estimator)
    assert (wrapped.params, wrapped.model_dir) == ({"word": "mine"}, str(tmp_path / "model"))


def test_defaults_that_depend_on_the_data_are_filled_in():
    for task, rows, rate, cycles, dropout in (
        ("regression", 1_000, 3e-3, 3, 0.1),
        ("regression", 20_000, 3e-3, 1, 0.1),
        ("regression", 10**6, 3e-3, 1, 0.0),
        ("binary", 1_000, 1e-3, 3, 0.1),
    ):
        context = Context((Label("y", task),), Layout((), (), ()), (), (), 100, rows)
        found = registry.parameters("tabm", {"members": 4}, context)
        assert (found["learning_rate"], found["cycles"]) == (rate, cycles)
        assert (found["dropout"], found["members"]) == (dropout, 4)
        assert registry.parameters("tabm", {"dropout": 0.5}, context)["dropout"] == 0.5
    assert registry.parameters("tabm", {})["learning_rate"] is None


@pytest.mark.parametrize("name", registry.MODELS)
def test_every_registered_model_refuses_unknown_parameters(name):
    registry.check(name, {})
    with pytest.raises(ValueError, match="model.params.no_such: unknown parameter"):
        registry.check(name, {"no_such": 1})


@pytest.mark.parametrize("name", registry.MODELS)
def test_every_numeric_parameter_of_a_registered_model_has_bounds(name):
    for parameter, value in registry.parameters(name, {}).items():
        if isinstance(value, bool):
            continue
        wrong = [-1] if isinstance(value, tuple) else -1
        with pytest.raises(ValueError, match=rf"^model.params.{parameter}.*, found -1$"):
            registry.check(name, {parameter: wrong})


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("keras.mlp", "a Keras model"),
        ("premade.dnn_linear_combined", "premade.dnn_linear_combined"),
    ],
)
def test_a_model_that_replicas_cannot_train_is_refused(name, found, tmp_path):
    context = Context((Label("y", "regression"),), Layout(("x",), (), ()), (), (), 100, 64)
    strategy = tf.distribute.MirroredStrategy(["/CPU:0"])
    config = estimator_api.RunConfig(
        model_dir=str(tmp_path), tf_random_seed=1, train_distribute=strategy
    )
    with pytest.raises(ValueError, match=rf"^train\.cluster\.mirrored: found {found}"):
        registry.estimator(name, {"context": context}, config)
