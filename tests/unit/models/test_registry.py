"""Models by name."""

import pytest

from models import registry, wide_deep


def test_ours_by_a_short_name_and_any_by_its_path():
    assert registry.load("wide_deep") is wide_deep.model_fn
    assert registry.load("models.wide_deep.model_fn") is wide_deep.model_fn
    assert registry.dotted_path("my_model.model_fn") == "my_model.model_fn"


@pytest.fixture
def own_model(tmp_path, monkeypatch):
    """A module beside the configuration, which takes other arguments than an Estimator gives."""
    (tmp_path / "own_model_of_test.py").write_text(
        "def model_fn(features, labels): ...\ndef good(features, labels, mode, params, config): ..."
    )
    (tmp_path / "broken_of_test.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize(
    "name, message",
    [
        ("wide_dep", "model.name: no registered model is called wide_dep; did you mean wide_deep?"),
        ("zzz", "is called zzz; (registered: wide_deep"),
        ("no_such.model_fn", "model.name: no_such.model_fn: cannot import no_such; put the file"),
        ("broken_of_test.f", "model.name: broken_of_test.f: cannot import no_such_package"),
        ("models.wide_deep.nothing", "module models.wide_deep has no nothing()"),
        (
            "own_model_of_test.model_fn",
            "expected model_fn(features, labels, mode, params, config), found model_fn(features, "
            "labels)",
        ),
    ],
)
def test_what_cannot_be_loaded_is_named(own_model, name, message):
    with pytest.raises(ValueError) as refusal:
        registry.load(name)
    assert message in str(refusal.value)


def test_parameters_are_checked_where_the_model_declares_them(own_model):
    registry.check("wide_deep", {})
    registry.check("own_model_of_test.good", {"anything": 1})
    with pytest.raises(ValueError, match="model.params.no_such: unknown parameter"):
        registry.check("wide_deep", {"no_such": 1})
