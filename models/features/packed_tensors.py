"""The packed tensors that `preprocessing_fn` makes of a table, and how they are laid out.

Each kind of feature becomes one packed tensor, because a handful of wide tensors is parsed several
times faster than dozens of narrow ones:

| output        | shape        | holds                                                           |
|---------------|--------------|-----------------------------------------------------------------|
| `scaled`      | [batch, 2 n] | standardised numbers, then their inverse hyperbolic sines       |
| `quantile`    | [batch, n]   | positions of the numbers among their column's quantiles, 0 to 1 |
| `indicator`   | [batch, m]   | booleans as 0/1, cycles of dates, 1 where a column is missing   |
| `categorical` | [batch, c]   | indices into each column's vocabulary, out-of-vocabulary last   |
| `sequence_X`  | [batch, any] | lists of column X, standardised and clipped: dense if all have  |
|               |              | the same length, otherwise a `RaggedTensor`                     |
| `weight`      | [batch]      | example weights; only in training and evaluation                |
| `label`       | [batch]      | raw label: numbers as float32, classes as text                  |
| `label_statistics` | [batch, 6] | training-split statistics, equal in all rows (regression)    |

`Layout` gives the order of the columns in each tensor. Outputs of further labels are named by
`label_name` and `statistics_name`.
"""

import dataclasses
from collections.abc import Sequence

from models.features import features as features_lib
from models.features.features import Feature

SCALED = "scaled"
QUANTILE = "quantile"
INDICATOR = "indicator"
CATEGORICAL = "categorical"
WEIGHT = "weight"
LABEL = "label"

SCALED_PER_NUMBER = 2
"""Number of values in `scaled` for each number."""

QUANTILES = 48
"""Number of bins of the quantile encoding."""


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names of the columns in each packed tensor, in order."""

    numeric: tuple[str, ...]
    indicator: tuple[str, ...]
    categorical: tuple[str, ...]
    sequences: tuple[str, ...] = ()

    @classmethod
    def of(cls, features: Sequence[Feature]) -> "Layout":
        """Returns the layout of the outputs of `preprocessing_fn` for these features."""

        def names(*kinds: str) -> tuple[str, ...]:
            return tuple(feature.name for feature in features if feature.kind in kinds)

        return cls(
            numeric=names(*features_lib.NUMBERS),
            indicator=tuple(
                f"{name}:{part}" if part else name for name, part in indicators(features)
            ),
            categorical=names(features_lib.CATEGORICAL),
            sequences=names(features_lib.SEQUENCE),
        )


DATE_PARTS = ("year_sin", "year_cos", "week_sin", "week_cos")
"""Indicators of a date: sine and cosine of its position in the year and in the week."""
MISSING = "missing"
"""Indicator of a value that is missing."""
TRUE = ""
"""Indicator of a boolean that is true."""


def indicators(features: Sequence[Feature]) -> list[tuple[str, str]]:
    """Returns the column and the part (`DATE_PARTS`, `MISSING`, `TRUE`) of each indicator."""
    named: list[tuple[str, str]] = []
    for feature in features:
        if feature.kind == features_lib.DATE:
            named += [(feature.name, part) for part in DATE_PARTS]
        elif feature.kind == features_lib.BOOLEAN:
            named.append((feature.name, TRUE))
        # A missing category is a category of its own, and a missing list is an empty list.
        if feature.optional and feature.kind not in (
            features_lib.CATEGORICAL,
            features_lib.SEQUENCE,
        ):
            named.append((feature.name, MISSING))
    return named


def label_name(index: int) -> str:
    """Returns the name of a label's output; label 0 is the configuration's `label`."""
    return f"{LABEL}_{index}" if index else LABEL


def statistics_name(index: int) -> str:
    """Returns the name of the output with a regression label's statistics."""
    return f"{label_name(index)}_statistics"


def classes_name(index: int) -> str:
    """Returns the name of the vocabulary with a classification label's classes."""
    return f"{label_name(index)}_classes"


def sequence_name(column: str) -> str:
    """Returns the name of the output of a column that holds lists."""
    return f"sequence_{column}"
