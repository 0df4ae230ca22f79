"""Packs, the examples of a batch that fall into one slice, each handled as one TFMA example.

TFMA splits a batch into examples, looks up the slices of each and feeds its metrics one example at
a time. Here, a batch becomes one pack per slice that occurs in it, and our metrics add up packs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.slicer import slicer_lib

FINDINGS = "row_findings"
"""Extracts key of the findings on predictions, by model; only the overall pack has it."""


class PackBySlice:
    """Callable that turns a batch into packs.

    Args:
        keys: the features to slice by; each distinct value is a slice.
    """

    def __init__(self, keys: Sequence[str]):
        self._keys = keys

    def __call__(self, extracts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yields the pack of all examples, then one for each slice."""
        taken = {key: extracts[key] for key in (tfma.LABELS_KEY, tfma.PREDICTIONS_KEY)}
        yield {
            **taken,
            FINDINGS: extracts.get(FINDINGS, {}),
            tfma.SLICE_KEY_TYPES_KEY: slicer_lib.slice_keys_to_numpy_array([()]),
        }
        for key in self._keys:
            for value, rows in _by_value(extracts[tfma.FEATURES_KEY][key]):
                yield {
                    **{name: _take(arrays, rows) for name, arrays in taken.items()},
                    tfma.SLICE_KEY_TYPES_KEY: slicer_lib.slice_keys_to_numpy_array(
                        [((key, value),)]
                    ),
                }


def _by_value(column) -> Iterator[tuple[Any, np.ndarray]]:
    """Yields each distinct value of a column with the indices of the rows that have it."""
    if hasattr(column, "dense_shape"):  # an optional column: only some rows have a value
        values, rows = np.asarray(column.values), np.asarray(column.indices)[:, 0]
    else:
        values = np.asarray(column)
        width = int(np.prod(values.shape[1:]))
        rows, values = np.repeat(np.arange(len(values)), width), values.ravel()
    distinct, inverse = np.unique(values, return_inverse=True)
    for index, value in enumerate(distinct.tolist()):
        # A list may hold a value twice.
        yield (
            value.decode() if isinstance(value, bytes) else value,
            np.unique(rows[inverse == index]),
        )


def _take(arrays, rows: np.ndarray):
    """Returns the given rows of an array, or of each array in a nested mapping."""
    if isinstance(arrays, Mapping):
        return {name: _take(array, rows) for name, array in arrays.items()}
    return arrays[rows]
