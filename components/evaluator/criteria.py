"""The criteria a model is judged by: plain data, passed as JSON in the Evaluator's parameters."""

import dataclasses
import json
import math
from typing import Any

from components.evaluator import bounds
from components.evaluator.bounds import Bound, Mistake
from models.errors import UserError, nearest

_BANDS = " in bands "


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
class Criteria:
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
        """Returns the criteria as JSON, which `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self))

    def with_gates(self, text: str) -> "Criteria":
        """Returns the criteria with other values for its bounds.

        Args:
            text: JSON mapping from metrics in `bounds` to values as under `gates` in the
                configuration, see `bounds.read`. Metrics that are not named keep theirs.

        Raises:
            UserError: the text is not such a mapping, a metric has no bound, a value is refused by
                `bounds.read`, or no absolute bound would be left; the message has every mistake.
        """
        try:
            gates = json.loads(text)
        except ValueError:
            gates = None
        if not isinstance(gates, dict):
            example = '{"rmse": {"at_most": 115000}}'
            raise UserError(f"gates: found {text!r}, expected JSON such as {example}")
        changed = {bound.metric: bound for bound in self.bounds}
        mistakes = []
        for metric, values in gates.items():
            if metric not in changed:
                mistakes.append(f"{metric}: has no bound{nearest(metric, changed)}")
                continue
            changed[metric], wrong = bounds.read(metric, values)
            mistakes += [_line(mistake, gates) for mistake in wrong]
        label, names = next(iter(self.metrics.items()))
        if not mistakes and (message := bounds.no_absolute(changed.values(), label, names)):
            mistakes.append(message)
        if mistakes:
            raise UserError(f"gates: {'; '.join(mistakes)}")
        return dataclasses.replace(self, bounds=tuple(changed.values()))

    @classmethod
    def from_json(cls, text: str) -> "Criteria":
        """Returns the criteria that `to_json` wrote."""
        fields = json.loads(text)
        fields["metrics"] = {label: tuple(names) for label, names in fields["metrics"].items()}
        fields["bounds"] = tuple(Bound(**bound) for bound in fields["bounds"])
        fields["slices"] = tuple(
            Slice(**{**part, "bands": tuple(part["bands"])}) for part in fields["slices"]
        )
        return cls(**fields)


def _line(mistake: Mistake, gates: Any) -> str:
    line = f"{'.'.join(mistake.keys)}: {mistake.message}"
    if not mistake.message.startswith("expected"):
        return line
    for key in mistake.keys:
        gates = gates[key]
    return f"{line}, found {json.dumps(gates)}"
