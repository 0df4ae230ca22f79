"""Context that every model receives besides its own parameters."""

import dataclasses

from models.features.label import Label
from models.features.packed_tensors import Layout


@dataclasses.dataclass(frozen=True)
class Context:
    """Facts about the problem, passed to every model as `params["context"]`.

    Attributes:
        labels: the labels with their scales or classes, for `heads.for_labels`. The Evaluator
            judges the first one.
        layout: the columns behind the packed tensors.
        vocabulary_sizes: number of embedding rows that each categorical column requires.
        sequence_widths: width of each list feature in the output of `networks.sequences`.
        max_steps: number of training steps, for learning-rate schedules.
        rows: number of examples in the train split.
    """

    labels: tuple[Label, ...]
    layout: Layout
    vocabulary_sizes: tuple[int, ...]
    sequence_widths: tuple[int, ...]
    max_steps: int
    rows: int
