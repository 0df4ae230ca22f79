"""Tests of the one reader of bounds; its messages are tested with those who show them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.evaluator import bounds
from components.evaluator.bounds import Bound
from components.evaluator.metric_catalogue import METRICS

share = st.none() | st.floats(0, 1, exclude_max=True)


@given(st.sampled_from([metric.name for metric in METRICS]), share, share)
def test_values_are_read_back(metric, absolute, may_worsen_by):
    bound = Bound(metric, absolute, may_worsen_by)
    assert bounds.read(metric, bound.values) == (bound, [])


@pytest.mark.parametrize(
    ("key", "title", "lower_is_better"),
    [("rmse", "RMSE", True), ("a/b/auc", "a/b AUC", False), ("log_loss", "log loss", True)],
)
def test_a_bound_knows_its_metric(key, title, lower_is_better):
    bound = Bound(key, None, None)
    assert (bound.title, bound.lower_is_better) == (title, lower_is_better)


def test_text_that_is_a_number_is_read():
    """YAML 1.1 takes 1e6 for text."""
    assert bounds.read("rmse", {"at_most": "1e6"}) == (Bound("rmse", 1e6, None), [])


def test_every_mistake_in_a_bound_is_reported():
    _, mistakes = bounds.read("rmse", {"at_most": True, "at_mst": 1, "may_worsen_by": []})
    assert [mistake.keys for mistake in mistakes] == [
        ("rmse", "at_most"),
        ("rmse", "at_mst"),
        ("rmse", "may_worsen_by"),
    ]


@pytest.mark.parametrize(
    ("given_bounds", "start"),
    [
        ([Bound("rmse", 5.0, None)], ""),
        ([], "no absolute bound: without one"),
        ([Bound("rmse", None, 0.1)], "no absolute bound: without one"),
        ([Bound("coverage", 0.9, None)], "no absolute bound on the predictions of price: "),
        ([Bound("sea/rmse", 5.0, None)], "no absolute bound on the predictions of price: "),
    ],
)
def test_an_absolute_bound_on_the_first_labels_predictions_is_required(given_bounds, start):
    message = bounds.no_absolute(given_bounds, "price", ("coverage", "rmse"))
    assert message.startswith(start) and bool(message) == bool(start)
    assert not message or message.endswith("; add for example rmse: {at_most: <value>}")
