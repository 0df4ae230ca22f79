"""The `tune` section of a configuration: which hyperparameters are searched, and how."""

import json
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from components.evaluator import metric_catalogue
from models.errors import did_you_mean
from models.settings.training_settings import MODEL_PARAMS
from pipeline.config.pydantic_types import (
    Count,
    Mistakes,
    Natural,
    Number,
    Section,
    Text,
    mapping,
    refuse,
)

LENGTHS = ("train.max_steps", "train.epochs")
_BATCH_SIZE = "train.batch_size"
_COUNTS = (_BATCH_SIZE, *LENGTHS)

_SCORES = (
    *(metric.name for metric in metric_catalogue.METRICS if not metric.lower_is_better),
    # Metrics of TensorFlow's own heads, which the Evaluator does not have.
    "precision",
    "recall",
)


class _FiniteNumber:
    """A finite number; whole numbers stay `int`."""

    @classmethod
    def __get_validators__(cls):
        yield cls.validate

    @classmethod
    def validate(cls, value: Any) -> int | float:
        """Returns an int as it is and other numbers as float, or raises `ValueError`."""
        number = Number.validate(value)
        return value if isinstance(value, int) else number


if TYPE_CHECKING:  # what validation returns
    _Amount = int | float
else:
    _Amount = _FiniteNumber


class Dimension(Section):
    """The values that one hyperparameter may take: a range or a list.

    Attributes:
        low, high: the ends of the range, inclusive. If they and `step` are whole numbers, so are
            all values.
        step: the distance between values, counted from `low`; by default 1 for whole numbers.
        log: whether the range is searched on a logarithmic scale.
        choices: the values of the list.
    """

    low: _Amount | None = None
    high: _Amount | None = None
    step: _Amount | None = None
    log: pydantic.StrictBool = False
    choices: tuple[Any, ...] | None = None

    @pydantic.validator("choices")
    def _distinct(cls, value):
        try:
            texts = [json.dumps(choice, sort_keys=True) for choice in value]
        except TypeError:
            raise ValueError("expected text, numbers, true, false, or lists of them") from None
        if len(set(texts)) < max(len(texts), 2):
            raise ValueError("expected two values or more, each of them once")
        return value

    @pydantic.root_validator(skip_on_failure=True)
    def _range_or_list(cls, values):
        low, high, step = (values[key] for key in ("low", "high", "step"))
        if values["choices"] is not None:
            more = [
                key for key in ("low", "high", "step", "log") if values[key] not in (None, False)
            ]
            refuse([((key,), "a list of choices has no range; remove one of them") for key in more])
            return values
        if low is None or high is None:
            raise ValueError("expected low and high, or choices: [...]")
        mistakes = []
        if low >= high:
            mistakes.append((("low",), f"expected less than high, which is {high}"))
        if values["log"] and low <= 0:
            mistakes.append((("low",), "expected more than 0: log is true"))
        if values["log"] and step is not None:
            mistakes.append((("step",), "a logarithmic range has no step; remove step or log"))
        elif step is not None and low < high and not 0 < step <= high - low:
            mistakes.append((("step",), f"expected more than 0, and no more than {high - low}"))
        refuse(mistakes)
        if not all(isinstance(number, int) for number in (low, high, step or 1)):
            values.update(low=float(low), high=float(high), step=step and float(step))
        return values

    @property
    def samples(self) -> list[Any]:
        """Values that stand for all others in checks: the whole list, or the ends of the range."""
        return list(self.choices) if self.choices is not None else [self.low, self.high]


class Tune(Section):
    """The `tune` section: how hyperparameters are searched.

    Attributes:
        trials: the number of trials, including one of the configuration as it is.
        parallel: the number of trials that run at a time, each in its own process.
        pruner: the rule that stops poor trials early. `median` stops a trial worse than the median
            of the others at the same step; `asha` keeps, at each of a few steps, the best third of
            the trials that have reached it.
        metric: the eval metric that is compared, by the model's name for it.
        goal: by default `maximize` for scores, such as auc and accuracy, otherwise `minimize`.
        max_steps: the length of a trial; overrides the length of `train`.
        evaluate_every: steps between the evaluations of a trial; overrides that of `train`.
        seed: the seed of the sampler; by default `train.seed`.
        search: the dimensions by key, such as `model.params.learning_rate`.
    """

    trials: Count = 30
    parallel: Count = 1
    pruner: Literal["median", "asha", "none"] = "median"
    metric: Text = "loss"
    goal: Literal["minimize", "maximize"] = None  # `_by_name` sets it
    max_steps: Count | None = None
    evaluate_every: Count | None = None
    seed: Natural | None = None
    search: dict[pydantic.StrictStr, Dimension] = {}

    _mapping = pydantic.validator("search", pre=True, allow_reuse=True)(mapping)

    @pydantic.validator("search", always=True)
    def _known(cls, value):
        if not value:
            raise ValueError(
                "nothing to search; add a dimension, such as "
                "search: {model.params.learning_rate: {low: 0.0003, high: 0.03, log: true}}"
            )
        mistakes: Mistakes = []
        for key, dimension in value.items():
            if key in _COUNTS:
                for sample in dimension.samples:
                    try:
                        Count.validate(sample)
                    except ValueError as error:
                        mistakes.append(((key,), f"{error}, found {sample!r}"))
                        break
            elif not key.removeprefix(MODEL_PARAMS) or not key.startswith(MODEL_PARAMS):
                mistakes.append(((key,), f"cannot be searched{_meant(key)}"))
        if all(key in value for key in LENGTHS):
            mistakes.append(
                ((LENGTHS[1],), "searched together with train.max_steps; remove one of them")
            )
        refuse(mistakes)
        return value

    @pydantic.validator("goal", always=True)
    def _by_name(cls, value, values):
        name = values.get("metric", "").rpartition("/")[2]
        return value or ("maximize" if name.startswith(_SCORES) else "minimize")

    @pydantic.root_validator(skip_on_failure=True)
    def _one_length(cls, values):
        searched = [key for key in LENGTHS if key in values["search"]]
        if values["max_steps"] and searched:
            message = f"the length of a trial is searched ({searched[0]}); remove one of the two"
            refuse([(("max_steps",), message)])
        return values


def _meant(key: str) -> str:
    hint = did_you_mean(key, [*_COUNTS, MODEL_PARAMS + key.rpartition(".")[2]])
    return f"{hint} (known: {', '.join(_COUNTS)}, {MODEL_PARAMS}<name>)"


def fits_training(cls, value: Tune | None, values: dict[str, Any]) -> Tune | None:
    """Validates `tune` against `train`.

    Trials can be pruned only if they are evaluated before their end. Replicas must be able to share
    a batch of every searched size: trials have no replicas, so only the Trainer would fail.
    """
    train = values.get("train")
    if value is None or train is None:
        return value
    if train.cluster and (sizes := value.search.get(_BATCH_SIZE)):
        numbers = (
            [("choices", choice) for choice in sizes.choices]
            if sizes.choices
            else [("low", sizes.low), ("step", sizes.step or 1)]
        )
        refuse(
            [
                (("search", _BATCH_SIZE, key), message)
                for key, number in numbers
                if (message := train.cluster.unequal_parts(number))
            ]
        )
    if any(key in value.search for key in LENGTHS):
        return value
    steps = value.max_steps or train.max_steps
    every = value.evaluate_every or (None if value.max_steps else train.evaluate_every)
    if value.pruner != "none" and steps and every and every >= steps:
        message = (
            f"a trial of {steps} steps is evaluated every {every}, too late for pruning; add "
            f"evaluate_every: {max(steps // 5, 1)}, or write pruner: none"
        )
        refuse([(("pruner",), message)])
    return value
