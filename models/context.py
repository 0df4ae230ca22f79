"""What a `model_fn` is told about the problem, beside its own parameters."""

import dataclasses

from models.label import Label
from models.preprocessing import Layout


@dataclasses.dataclass(frozen=True)
class Context:
    """Handed to every `model_fn` as `params["context"]`.

    Attributes:
        label: the label, its scale and classes; `heads.for_label` wants it.
        layout: the columns behind the packed tensors.
        vocabulary_sizes: rows each categorical column needs in an embedding table.
        max_steps: the length of training, for learning-rate schedules.
    """

    label: Label
    layout: Layout
    vocabulary_sizes: tuple[int, ...]
    max_steps: int
