"""What a model is judged by. Plain data: it travels as JSON in the Evaluator's parameters."""

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any, Optional

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

    def with_values(self, values: Mapping[str, Any]) -> "Bound":
        """The gate on the same metric with other values, named as in a configuration.

        Raises:
            ValueError: another name than the metric's own, or a value that is not a finite number.
        """
        absolute = "at_most" if self.lower_is_better else "at_least"
        for name, value in values.items():
            if name not in (absolute, "may_worsen_by"):
                raise ValueError(
                    f"gates: {self.metric}: found {name}, expected {absolute} or may_worsen_by"
                )
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                raise ValueError(
                    f"gates: {self.metric}: {name}: expected a number, found {value!r}"
                )
            if not math.isfinite(value):
                raise ValueError(f"gates: {self.metric}: {name}: expected a finite number")
        if not 0 <= values.get("may_worsen_by", 0) < 1:
            raise ValueError(f"gates: {self.metric}: may_worsen_by: expected a share from 0 to 1")
        return dataclasses.replace(
            self, absolute=values.get(absolute), may_worsen_by=values.get("may_worsen_by")
        )


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
        bounds: at least one with an absolute bound; without any, no model is blessed.
        slices: none, or some.
    """

    metrics: dict[str, tuple[str, ...]]
    bounds: tuple[Bound, ...]
    slices: tuple[Slice, ...]

    def to_json(self) -> str:
        """As text, read back by `from_json`."""
        return json.dumps(dataclasses.asdict(self))

    def with_gates(self, text: str) -> "Judgement":
        """The judgement with other values of its bounds.

        Args:
            text: JSON of a mapping from the metrics of `bounds` to what the configuration's `gates`
                has for them: at_most or at_least, and may_worsen_by. What is not named stays.

        Raises:
            ValueError: no such mapping, an unbounded metric, a bound that points the wrong way, or
                no absolute bound left; the message says which.
        """
        try:
            gates = json.loads(text)
        except ValueError:
            gates = None
        if not isinstance(gates, dict) or not all(isinstance(own, dict) for own in gates.values()):
            raise ValueError(
                f'gates: expected JSON as {{"rmse": {{"at_most": 115000}}}}, found {text!r}'
            )
        bounds = {bound.metric: bound for bound in self.bounds}
        if unknown := [metric for metric in gates if metric not in bounds]:
            raise ValueError(f"gates: {unknown[0]} has no bound (there are: {', '.join(bounds)})")
        bounds |= {metric: bounds[metric].with_values(own) for metric, own in gates.items()}
        if all(bound.absolute is None for bound in bounds.values()):
            raise ValueError("gates: no absolute bound is left; give one, as at_most or at_least")
        return dataclasses.replace(self, bounds=tuple(bounds.values()))

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
