"""Head for several labels, and the choice of the head for a model's labels."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from models.features.label import Label
from models.toolbox.heads.classification import ClassificationHead
from models.toolbox.heads.head import Head, SpecBuilder
from models.toolbox.heads.outputs import Outputs, prefixes
from models.toolbox.heads.regression import RegressionHead


class MultiHead(SpecBuilder):
    """Head for several labels: it splits the logits among their heads and adds up the losses.

    Labels are a dict by column. The first label's outputs and metrics keep their plain names; for
    every other label they are prefixed with its column, as in `waterfront/probabilities`.
    """

    def __init__(self, heads: Sequence[Head]):
        self._heads = tuple(heads)
        self._prefixes = dict(zip(self._heads, prefixes(heads)))

    @property
    def name(self) -> str:
        """The first label's column."""
        return self._heads[0].name

    @property
    def logits_dimension(self) -> int:
        """The total number of logits of all heads."""
        return sum(head.logits_dimension for head in self._heads)

    def _split(self, logits):
        return zip(
            self._heads, tf.split(logits, [head.logits_dimension for head in self._heads], axis=-1)
        )

    def _named(self, head: Head, values: Mapping[str, Any]) -> dict[str, Any]:
        prefix = self._prefixes[head]
        return {f"{prefix}{key}": value for key, value in values.items()}

    def loss(self, labels, logits, features=None, mode=None, regularization_losses=None):
        """Returns the sum of the heads' losses; regression losses are on a standardised scale."""
        losses = [
            head.loss(labels[head.name], part, features, mode) for head, part in self._split(logits)
        ]
        return tf.add_n([*losses, *(regularization_losses or [])])

    def predictions(self, logits, keys: Sequence[str] | None = None) -> Outputs:
        """Returns the outputs of all heads by name; only those in `keys`, if given."""
        outputs: Outputs = {}
        for head, part in self._split(logits):
            outputs.update(self._named(head, head.predictions(part)))
        return {key: outputs[key] for key in keys} if keys else outputs

    def metrics(self, regularization_losses=None) -> dict[str, Any]:
        """Returns the metrics of all heads by name."""
        metrics: dict[str, Any] = {}
        for head in self._heads:
            metrics.update(self._named(head, head.metrics()))
        return metrics

    def update_metrics(
        self, eval_metrics, features, logits, labels, mode=None, regularization_losses=None
    ) -> dict[str, Any]:
        """Updates the metrics of all heads with a batch, and returns them."""
        for head, part in self._split(logits):
            head_metrics = {
                name: eval_metrics[self._prefixes[head] + name] for name in head.metrics()
            }
            head.update_metrics(head_metrics, features, part, labels[head.name])
        return eval_metrics


def for_label(label: Label) -> Head:
    """Returns the head for a label's task."""
    return RegressionHead(label) if label.task == "regression" else ClassificationHead(label)


def for_labels(labels: Sequence[Label]) -> Head | MultiHead:
    """Returns the head for one label, or a `MultiHead` for several."""
    heads = [for_label(label) for label in labels]
    return heads[0] if len(heads) == 1 else MultiHead(heads)
