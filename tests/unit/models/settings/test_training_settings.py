"""Tests of replacing values in the settings of a training."""

import pytest

from models.settings.column_settings import ColumnSettings, LabelSettings
from models.settings.training_settings import Model, Replicas, Settings, Tasks, Train

SETTINGS = Settings(
    columns=ColumnSettings((LabelSettings("price", "regression"),)),
    model=Model("mlp", {"hidden": [8], "optimizer": {"rate": 0.1, "decay": 0.5}}),
    train=Train(max_steps=100, batch_size=64),
)


@pytest.mark.parametrize(
    ("values", "model", "train"),
    [
        ({}, SETTINGS.model, SETTINGS.train),
        ({"train.batch_size": 8}, SETTINGS.model, Train(max_steps=100, batch_size=8)),
        ({"train.max_steps": 9}, SETTINGS.model, Train(max_steps=9, batch_size=64)),
        ({"train.epochs": 2}, SETTINGS.model, Train(epochs=2, batch_size=64)),
        (
            {"train.epochs": 2, "train.max_steps": 9},
            SETTINGS.model,
            Train(max_steps=9, batch_size=64),
        ),
        (
            {"model.params.hidden": [4], "model.params.optimizer.rate": 0.2, "model.params.new": 1},
            Model("mlp", {"hidden": [4], "optimizer": {"rate": 0.2, "decay": 0.5}, "new": 1}),
            SETTINGS.train,
        ),
    ],
)
def test_values_are_replaced_by_their_dotted_keys(values, model, train):
    before = SETTINGS.to_json()
    replaced = SETTINGS.replaced(values)
    assert (replaced.model, replaced.train) == (model, train)
    assert replaced.columns == SETTINGS.columns
    assert SETTINGS.to_json() == before


@pytest.mark.parametrize(
    ("key", "error"),
    [("train.no_such", TypeError), ("no_such", TypeError), ("model.params.no.such", KeyError)],
)
def test_unknown_keys_are_refused(key, error):
    with pytest.raises(error):
        SETTINGS.replaced({key: 1})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("train.batch_size", 64),
        ("train.epochs", None),
        ("model.params.optimizer.rate", 0.1),
        ("model.params.no_such", None),
        ("model.params.hidden.deeper", None),
    ],
)
def test_values_are_read_by_their_dotted_keys(key, value):
    assert SETTINGS.value(key) == value


def test_a_cluster_has_either_tasks_or_replicas():
    alone, tasks, replicas = (Train(cluster=each) for each in (None, Tasks(), Replicas(2)))
    assert [train.tasks for train in (alone, tasks, replicas)] == [None, Tasks(), None]
    assert [train.replicas for train in (alone, tasks, replicas)] == [1, 1, 2]
