"""What a model is judged by. Plain data: it travels as JSON in the Evaluator's parameters."""

import dataclasses
import json
import math
from typing import Optional

_BANDS = " in bands "


@dataclasses.dataclass(frozen=True)
class Bound:
    """A gate on one metric.

    Attributes:
        metric: its name; of a further label behind its column, as `waterfront/auc`.
        title: how a verdict calls it.
        lower_is_better: the metric's direction.
        absolute: the value that must not be passed, if bounded absolutely.
        may_worsen_by: how much worse than the baseline's the metric may be: of an error a share
            of the baseline's value, of a score (where higher is better) an absolute difference.
    """

    metric: str
    title: str
    lower_is_better: bool
    absolute: Optional[float]
    may_worsen_by: Optional[float]


@dataclasses.dataclass(frozen=True)
class Slice:
    """A column whose values, or bands of values, are judged one by one.

    Attributes:
        column: of the raw examples.
        bands: edges in rising order; empty for one slice per value.
        gated: whether change bounds apply, or the slice is only reported.
    """

    column: str
    bands: tuple[float, ...] = ()
    gated: bool = True

    @property
    def key(self) -> str:
        """The feature by which TFMA slices; bands get one of their own, see `extractors`."""
        if not self.bands:
            return self.column
        return self.column + _BANDS + ", ".join(f"{edge:.12g}" for edge in self.bands)

    @classmethod
    def of_key(cls, key: str) -> "Slice":
        """The slice with this `key`."""
        column, _, edges = key.partition(_BANDS)
        return cls(column, tuple(float(edge) for edge in edges.split(", ") if edge))

    def band(self, value: float) -> str:
        """The band of a value: `below 250000`, `250000 to 500000`, `500000 and above`."""
        if math.isnan(value):
            return "missing"
        edges = [f"{edge:.12g}" for edge in self.bands]
        above = sum(value >= edge for edge in self.bands)
        if above == 0:
            return f"below {edges[0]}"
        if above == len(edges):
            return f"{edges[-1]} and above"
        return f"{edges[above - 1]} to {edges[above]}"


@dataclasses.dataclass(frozen=True)
class Judgement:
    """Metrics, bounds and slices of one problem.

    Attributes:
        metrics: names of the metrics to compute, by the column of each label.
        bounds: at least one with an absolute bound.
        slices: none, or some.
    """

    metrics: dict[str, tuple[str, ...]]
    bounds: tuple[Bound, ...]
    slices: tuple[Slice, ...]

    def to_json(self) -> str:
        """As text, read back by `from_json`."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Judgement":
        """The judgement written by `to_json`."""
        fields = json.loads(text)
        fields["metrics"] = {label: tuple(names) for label, names in fields["metrics"].items()}
        fields["bounds"] = tuple(Bound(**bound) for bound in fields["bounds"])
        fields["slices"] = tuple(
            Slice(**{**part, "bands": tuple(part["bands"])}) for part in fields["slices"]
        )
        return cls(**fields)
