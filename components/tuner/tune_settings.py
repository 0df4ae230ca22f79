"""Settings of a search for hyperparameters, passed as JSON in the Tuner's parameters."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Literal


@dataclasses.dataclass(frozen=True)
class Range:
    """Range of values that a hyperparameter may take; of whole numbers if its ends are.

    Attributes:
        low, high: ends of the range, inclusive.
        step: distance between values, counted from `low`; by default 1 for whole numbers.
        log: whether the range is searched on a logarithmic scale.
    """

    low: int | float
    high: int | float
    step: int | float | None = None
    log: bool = False


@dataclasses.dataclass(frozen=True)
class Choices:
    """List of values, of any JSON type, that a hyperparameter may take."""

    choices: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class TuneSettings:
    """Settings of a search.

    Attributes:
        trials: number of trials, including one of the configuration as it is.
        parallel: number of trials that run at a time.
        pruner: rule that stops poor trials early: median, asha or none.
        metric: eval metric that is compared.
        goal: what to do with the metric.
        max_steps: length of a trial in steps; None keeps that of `train`.
        evaluate_every: steps between the evaluations of a trial; 0 keeps those of `train`.
        seed: seed of the sampler.
        search: the dimensions by dotted key, see `training_settings.Settings.replaced`.
    """

    trials: int
    parallel: int
    pruner: str
    metric: str
    goal: Literal["minimize", "maximize"]
    max_steps: int | None
    evaluate_every: int
    seed: int
    search: Mapping[str, Range | Choices]

    def to_json(self) -> str:
        """Returns the settings as JSON, which `from_json` reads back."""
        # Not sorted: what the sampler draws depends on the order of the dimensions.
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "TuneSettings":
        """Returns the settings that `to_json` wrote."""
        fields = json.loads(text)
        search = {key: _dimension(dimension) for key, dimension in fields["search"].items()}
        return cls(**{**fields, "search": search})


def _dimension(fields: Mapping[str, Any]) -> Range | Choices:
    if "choices" in fields:
        return Choices(tuple(fields["choices"]))
    return Range(**fields)
