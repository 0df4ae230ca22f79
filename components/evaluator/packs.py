"""Examples of one slice, packed together, in the place of TFMA's single ones.

TFMA takes a batch of examples apart, looks up the slices of each, and computes its metrics one by
one. Here each batch becomes a pack for each slice that it has examples of, and our metrics add up
packs.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.slicer import slicer_lib

FINDINGS = "row_findings"
"""The key of what is wrong with predictions, by model; the pack of all examples has it."""


class PackBySlice:
    """Makes packs of a batch.

    Args:
        keys: the features by which there are slices; each of their values is one.
    """

    def __init__(self, keys: Sequence[str]):
        self._keys = keys

    def __call__(self, extracts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Yields the pack of all examples, and one for each slice."""
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
    """Each value of a column, and the numbers of the rows that have it."""
    if hasattr(column, "dense_shape"):  # an optional column: only some rows have a value
        values, rows = np.asarray(column.values), np.asarray(column.indices)[:, 0]
    else:
        values = np.asarray(column)
        width = int(np.prod(values.shape[1:]))
        rows, values = np.repeat(np.arange(len(values)), width), values.ravel()
    found, places = np.unique(values, return_inverse=True)
    for number, value in enumerate(found.tolist()):
        # A list may have a value twice.
        yield (
            value.decode() if isinstance(value, bytes) else value,
            np.unique(rows[places == number]),
        )


def _take(arrays, rows: np.ndarray):
    """Some rows of arrays, or of mappings of them."""
    if isinstance(arrays, Mapping):
        return {name: _take(each, rows) for name, each in arrays.items()}
    return arrays[rows]
