"""Tests that a user's `model_fn` that imports modules by their former names still works."""

import importlib

import pytest

import models
from models import params as former_params
from models.toolbox import params


@pytest.mark.parametrize(
    "module",
    ["toolbox.heads", "toolbox.networks", "toolbox.optimizers", "distributed.mirrored"],
)
def test_modules_are_importable_by_their_former_names(module):
    former_name = module.rpartition(".")[2]
    assert getattr(models, former_name) is importlib.import_module(f"models.{module}")


def test_params_are_importable_by_their_former_name():
    assert former_params.parse_params is params.parse_params


def test_other_names_are_not_defined():
    with pytest.raises(AttributeError, match="module 'models' has no attribute 'head'"):
        _ = models.head  # type: ignore[attr-defined]
