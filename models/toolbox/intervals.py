"""Calibration of a model's intervals on the eval split, so that they reach their coverage.

Y. Romano, E. Patterson and E. Candès, "Conformalized Quantile Regression" (2019): the learned ends
are moved outwards (or inwards) by one distance, such that the desired share of the eval split lies
between them. On new examples from the same distribution the intervals then have the desired
coverage, whatever the model.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from models.toolbox import heads
from models.toolbox.context import Context


def calibrated(estimator, context: Context, checkpoint: str, eval_input: Callable) -> Context:
    """Returns the context with the calibration of each label that has an interval.

    Args:
        estimator: a trained Estimator whose labels are not calibrated yet.
        context: the Estimator's context.
        checkpoint: the checkpoint that will be exported.
        eval_input: input function of one pass over the eval split.
    """
    if not any(label.interval for label in context.labels):
        return context
    predictions = list(estimator.predict(eval_input, checkpoint_path=checkpoint))
    answers = [batch for _, batch in eval_input().as_numpy_iterator()]
    labels = []
    for label, prefix in zip(context.labels, heads.prefixes(context.labels)):
        if label.interval:
            low, high = (
                np.array([row[prefix + end][0] for row in predictions])
                for end in (heads.LOWER, heads.UPPER)
            )
            truth = np.concatenate(
                [batch[label.name] if isinstance(batch, dict) else batch for batch in answers]
            )
            label = dataclasses.replace(label, calibration=_distance(label, low, high, truth))
        labels.append(label)
    return dataclasses.replace(context, labels=tuple(labels))


def _distance(label, low: np.ndarray, high: np.ndarray, truth: np.ndarray) -> float:
    """Returns by how much intervals must be widened to cover the desired share, in target units."""
    head = heads.RegressionHead(label)
    low, high, truth = (
        np.asarray(head.targets(side.astype(np.float32))) for side in (low, high, truth)
    )
    outside = np.sort(np.maximum(low - truth, truth - high))
    rank = math.ceil((len(outside) + 1) * label.interval)
    return float(outside[min(rank, len(outside)) - 1])
