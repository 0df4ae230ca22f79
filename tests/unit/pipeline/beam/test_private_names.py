"""A new version of Beam or TFX that moves a private name fails here, by name."""

import importlib
import inspect
import pathlib
import re
from typing import Any

import pytest

from pipeline.beam import PRIVATE_NAMES

PROJECT = pathlib.Path(__file__).parents[4]


@pytest.mark.parametrize("name", PRIVATE_NAMES)
def test_every_private_name_exists(name):
    module, _, attributes = name.partition(":")
    *owners, last = attributes.split(".")
    owner = importlib.import_module(module)
    for attribute in owners:
        owner = getattr(owner, attribute)
    assert hasattr(owner, last) or is_set_by_a_method(owner, last)


def is_set_by_a_method(owner: Any, attribute: str) -> bool:
    """Returns whether a class sets an attribute of its instances."""
    sources = [inspect.getsource(each) for each in owner.__mro__ if each is not object]
    return any(re.search(rf"self\.{attribute}(: \S.*)? = ", source) for source in sources)


def test_only_this_package_imports_beams_internals():
    internal = re.compile(r"^ *(from|import) apache_beam\.(internal|runners|portability)", re.M)
    folders = [PROJECT / folder for folder in ("components", "models", "pipeline")]
    users = {
        file.relative_to(PROJECT).parent.as_posix()
        for folder in folders
        for file in folder.rglob("*.py")
        if internal.search(file.read_text())
    }
    assert users == {"pipeline/beam"}
