"""Tests of parts of networks that no trained model covers."""

import numpy as np
import tensorflow as tf

from models.toolbox import networks


def test_lists_are_ordered_by_name():
    """Transform returns its outputs in a different order at each call."""
    ragged = tf.ragged.constant([[1.0, 3.0], []], dtype=tf.float32)
    features = {
        "sequence_window": ragged,
        "sequence_months": tf.constant([[1.0, 2.0], [3.0, 4.0]]),
        "scaled": tf.zeros([2, 5]),
    }
    for given in (features, dict(reversed(features.items()))):
        found = networks.sequences(given)
        assert list(found) == ["sequence_months", "sequence_window"]
        np.testing.assert_allclose(
            found["sequence_window"], [[2.0, np.log(3.0)], [0.0, 0.0]], rtol=1e-6
        )
