"""What a model is told about the problem, beside its own parameters."""

import dataclasses

from models.label import Label
from models.preprocessing import Layout


@dataclasses.dataclass(frozen=True)
class Context:
    """Handed to every model as `params["context"]`.

    Attributes:
        labels: what is predicted, with its scale or classes; `heads.for_labels` wants them. The
            first one is what the Evaluator judges.
        layout: the columns behind the packed tensors.
        vocabulary_sizes: rows each categorical column needs in an embedding table.
        sequence_widths: values of each list, as `networks.sequences` gives them.
        max_steps: the length of training, for learning-rate schedules.
        rows: examples in the train split.
    """

    labels: tuple[Label, ...]
    layout: Layout
    vocabulary_sizes: tuple[int, ...]
    sequence_widths: tuple[int, ...]
    max_steps: int
    rows: int
