import base64
import bz2
import gettext
import os

import pytest
from apache_beam.internal import cloudpickle_pickler, pickler

from pipeline import in_process


@pytest.fixture
def spared(monkeypatch):
    """Pickles of before, and the spared state, which ends with the test."""
    monkeypatch.setattr(cloudpickle_pickler, "bz2", bz2)
    monkeypatch.setenv("LANGUAGE", "en_US")
    before = pickler.dumps(lambda x: x + 1)
    in_process.spare_work()
    return before


def test_functions_travel_as_they_are_and_those_of_before_arrive_too(spared):
    # What compression would make much smaller.
    data = bytes(10_000)
    pickled = pickler.dumps(lambda: data)
    assert data in base64.b64decode(pickled)
    assert pickler.loads(pickled)() == data
    assert pickler.loads(spared)(1) == 2


def test_nobody_looks_for_translations(spared, monkeypatch):
    looked_for: list[str] = []
    monkeypatch.setattr(os.path, "exists", looked_for.append)
    gettext.gettext("usage: ")
    assert looked_for == []
