"""The criteria a model is judged by: plain data, passed as JSON in the Evaluator's parameters."""

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
        metric: name of the metric; for any label but the first, prefixed by the label's column, as
            in `waterfront/auc`.
        title: name of the metric in the verdict.
        lower_is_better: direction of the metric.
        absolute: the worst acceptable value; None without an absolute bound.
        may_worsen_by: how much worse than the baseline the metric may be: for an error, a share of
            the baseline's value; for a score (higher is better), an absolute difference.
    """

    metric: str
    title: str
    lower_is_better: bool
    absolute: Optional[float]
    may_worsen_by: Optional[float]

    def with_values(self, values: Mapping[str, Any]) -> "Bound":
        """Returns the gate on the same metric with other values.

        Args:
            values: by name as in the configuration: `at_most` (if lower is better) or `at_least`,
                and `may_worsen_by`. A name that is left out removes that bound.

        Raises:
            ValueError: a name does not apply to the metric, a value is not a finite number, or
                `may_worsen_by` is not in [0, 1).
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
    """A column to slice by: each of its values, or bands of values, is judged separately.

    Attributes:
        column: column of the raw examples.
        bands: edges of the bands in ascending order; empty for one slice per value.
        gated: whether change bounds apply to the slices, which are otherwise only reported.
    """

    column: str
    bands: tuple[float, ...] = ()
    gated: bool = True

    @property
    def key(self) -> str:
        """The feature that TFMA slices by; bands are a feature of their own, see `extractors`."""
        if not self.bands:
            return self.column
        return self.column + _BANDS + ", ".join(f"{edge:.12g}" for edge in self.bands)

    @classmethod
    def of_key(cls, key: str) -> "Slice":
        """Returns the slice with this `key`."""
        column, _, edges = key.partition(_BANDS)
        return cls(column, tuple(float(edge) for edge in edges.split(", ") if edge))

    def band(self, value: float) -> str:
        """Returns a value's band: `below 250000`, `250000 to 500000`, `500000 and above`.

        The band of NaN is `missing`.
        """
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
        bounds: the gates, at least one of them absolute; without gates, no model is blessed.
        slices: columns to slice by.
    """

    metrics: dict[str, tuple[str, ...]]
    bounds: tuple[Bound, ...]
    slices: tuple[Slice, ...]

    def to_json(self) -> str:
        """Returns the judgement as JSON, which `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self))

    def with_gates(self, text: str) -> "Judgement":
        """Returns the judgement with other values for its bounds.

        Args:
            text: JSON mapping from metrics in `bounds` to values as under `gates` in the
                configuration, see `Bound.with_values`. Metrics that are not named keep theirs.

        Raises:
            ValueError: the text is not such a mapping, a metric has no bound, a value is refused by
                `Bound.with_values`, or no absolute bound would be left.
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
        """Returns the judgement that `to_json` wrote."""
        fields = json.loads(text)
        fields["metrics"] = {label: tuple(names) for label, names in fields["metrics"].items()}
        fields["bounds"] = tuple(Bound(**bound) for bound in fields["bounds"])
        fields["slices"] = tuple(
            Slice(**{**part, "bands": tuple(part["bands"])}) for part in fields["slices"]
        )
        return cls(**fields)
