"""A user's model_fn that imports the toolbox by its former names works on."""

import importlib

import pytest

import models
from models import params as former_params
from models.toolbox import params


@pytest.mark.parametrize("name", ["heads", "networks", "optimizers"])
def test_a_module_of_the_toolbox(name):
    assert getattr(models, name) is importlib.import_module(f"models.toolbox.{name}")


def test_parameters():
    assert former_params.parse_params is params.parse_params


def test_other_names_are_still_missing():
    with pytest.raises(AttributeError, match="module 'models' has no attribute 'head'"):
        _ = models.head  # type: ignore[attr-defined]
