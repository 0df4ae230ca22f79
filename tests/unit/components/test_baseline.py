"""Which blessed model a candidate is compared with."""

import pathlib

import pytest
from tfx.types import standard_artifacts

from components.baseline import BaselineStrategy


def model(number: int, folder: pathlib.Path = pathlib.Path(__file__).parent):
    made = standard_artifacts.Model()
    made.id = number
    made.uri = str(folder)
    return made


def blessing(number: int, of: int, blessed: bool = True):
    made = standard_artifacts.ModelBlessing()
    made.id = number
    made.set_int_custom_property("current_model_id", of)
    made.set_int_custom_property("blessed", int(blessed))
    return made


def resolve(candidate: int, models, blessings) -> tuple[list[int], list[int]]:
    channels = {
        "candidate": [model(candidate)],
        "model": [model(number) for number in models],
        "model_blessing": blessings,
    }
    resolved = BaselineStrategy().resolve_artifacts(None, channels)
    assert resolved is not None and set(resolved) == set(channels), "TFX wants every channel"
    ids = [[made.id for made in resolved[key]] for key in ("candidate", "model", "model_blessing")]
    assert ids[0] == [candidate]
    return ids[1], ids[2]


@pytest.mark.parametrize(
    "candidate, models, blessings, expected",
    [
        (1, [1], [], ([], [])),
        (2, [1, 2], [blessing(10, 1)], ([1], [10])),
        (3, [1, 2, 3], [blessing(10, 1), blessing(11, 2)], ([2], [11])),
        # The order in which the store lists them says nothing.
        (3, [3, 2, 1], [blessing(11, 2), blessing(10, 1)], ([2], [11])),
        (3, [1, 2, 3], [blessing(10, 1), blessing(11, 2, blessed=False)], ([1], [10])),
        # An unchanged candidate is not its own baseline.
        (2, [1, 2], [blessing(10, 1), blessing(11, 2)], ([1], [10])),
        (1, [1], [blessing(10, 1)], ([], [])),
        # The latest blessing counts, also of an older model.
        (3, [1, 2, 3], [blessing(10, 2), blessing(11, 1)], ([1], [11])),
        # A model that is gone from the store cannot be compared with.
        (3, [1, 3], [blessing(10, 1), blessing(11, 2)], ([1], [10])),
    ],
)
def test_the_baseline_is_the_latest_other_blessed_model(candidate, models, blessings, expected):
    assert resolve(candidate, models, blessings) == expected


def test_a_model_whose_files_are_gone_is_no_baseline(tmp_path):
    channels = {
        "candidate": [model(3)],
        "model": [model(1), model(2, tmp_path / "gone"), model(3)],
        "model_blessing": [blessing(10, 1), blessing(11, 2)],
    }
    resolved = BaselineStrategy().resolve_artifacts(None, channels)
    assert resolved is not None and [made.id for made in resolved["model"]] == [1]


def test_without_any_model_there_is_no_baseline():
    resolved = BaselineStrategy().resolve_artifacts(None, {"candidate": [model(1)]})
    assert resolved is not None
    assert (resolved["model"], resolved["model_blessing"]) == ([], [])
