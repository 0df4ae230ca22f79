import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.api import types

from components.evaluator.slice_batches import PackBySlice


def packs(column) -> dict:
    """Returns the labels of each slice by `column`, for examples with the labels 0, 1, 2, ..."""
    count = column.dense_shape[0] if hasattr(column, "dense_shape") else len(column)
    numbers = np.arange(count).reshape(-1, 1)
    extracts = {
        tfma.FEATURES_KEY: {"column": column},
        tfma.LABELS_KEY: {"a": {"price": numbers}},
        tfma.PREDICTIONS_KEY: {"a": {"price": numbers + 0.5}},
    }
    found = {}
    for pack in PackBySlice(["column"])(extracts):
        [key] = pack[tfma.SLICE_KEY_TYPES_KEY]
        labels = pack[tfma.LABELS_KEY]["a"]["price"]
        assert np.array_equal(pack[tfma.PREDICTIONS_KEY]["a"]["price"], labels + 0.5)
        found[key] = labels.ravel().tolist()
    return found


def test_each_value_has_a_batch_and_so_has_the_whole():
    assert packs(np.array([[b"no"], [b"yes"], [b"no"]])) == {
        (): [0, 1, 2],
        (("column", "no"),): [0, 2],
        (("column", "yes"),): [1],
    }


def test_slice_values_are_python_numbers():
    keys = [key for key in packs(np.array([[7], [8]])) if key]
    assert keys == [(("column", 7),), (("column", 8),)]
    assert {type(value) for [(_, value)] in keys} == {int}


def test_repeated_values_of_a_list_count_once():
    assert packs(np.array([[1, 1], [1, 2]])) == {
        (): [0, 1],
        (("column", 1),): [0, 1],
        (("column", 2),): [1],
    }


def test_a_row_without_a_value_is_in_no_slice():
    column = types.SparseTensorValue(
        values=np.array([5, 6]), indices=np.array([[0, 0], [2, 0]]), dense_shape=np.array([3, 1])
    )
    assert packs(column) == {(): [0, 1, 2], (("column", 5),): [0], (("column", 6),): [2]}
