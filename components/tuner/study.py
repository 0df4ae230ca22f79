"""The study of a search: what to try next, when to stop a trial, and the results.

Everything is kept in a SQLite file with a single writer, so a killed search resumes with the trials
that were running. Each trial has its own sampler, seeded by the seed of the search and the trial's
number: the values it tries depend on the trials before it, not on how often the search was killed.
"""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from components.tuner.tune_settings import Choices, Range, TuneSettings
from models.errors import UserError

_SIGNIFICANT_DIGITS = 6
_VALUES, _SECONDS, _ERROR = "values", "seconds", "error"

_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


@dataclasses.dataclass(frozen=True)
class Assignment:
    """A trial to be run.

    Attributes:
        number: number of the trial, from 0.
        values: values to try, by key; empty for trial 0, which is the configuration itself.
    """

    number: int
    values: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Trial:
    """The state and results of a trial.

    Attributes:
        number: number of the trial, from 0.
        state: waiting, running, complete, pruned or failed.
        values: values that are tried, by key.
        value: the metric of the best checkpoint, or of the last evaluation if the trial was pruned.
        steps: step of the last evaluation.
        seconds: time that the trial has taken.
        evaluations: step and metric of each evaluation; None for a metric that is not finite.
        error: why the trial failed, if it did.
    """

    number: int
    state: str
    values: Mapping[str, Any]
    value: float | None
    steps: int
    seconds: float
    evaluations: tuple[tuple[int, float | None], ...]
    error: str | None


class Study:
    """The trials of a search, kept in a file.

    Args:
        file: the SQLite file, created if missing; it must be on a disk.
        tune: the settings of the search.
        configured: the configuration's own values of the keys, where known. They are the first
            trial, which the others have to beat.
    """

    def __init__(self, file: pathlib.Path, tune: TuneSettings, configured: Mapping[str, Any]):
        self._tune = tune
        self._search = tune.search
        self._study = optuna.create_study(
            storage=f"sqlite:///{file}",
            study_name="tuning",
            direction=tune.goal,
            pruner=_pruner(tune),
            load_if_exists=True,
        )
        if not self._trials():
            fixed = {
                key: _stored(value, self._search[key])
                for key, value in configured.items()
                if _is_in(value, self._search[key])
            }
            self._study.enqueue_trial(fixed, user_attrs={_VALUES: configured})
        self._left = [t for t in self._trials() if t.state == TrialState.RUNNING]
        self._running: dict[int, optuna.trial.Trial] = {}
        self._seconds_before: dict[int, float] = {}

    def next(self) -> Assignment | None:
        """Returns a trial left by a killed run, or else a new one; None if there are enough."""
        begun = sum(trial.state != TrialState.WAITING for trial in self._trials())
        if self._left:
            left = self._left.pop(0)
            self._study.sampler = self._sampler(left.number)
            trial = optuna.trial.Trial(self._study, left._trial_id)
        elif begun < self._tune.trials:
            self._study.sampler = self._sampler(begun)
            trial = self._study.ask()
        else:
            return None
        fixed = self._trials()[trial.number].system_attrs.get("fixed_params")
        values = {
            key: _suggest(trial, key, dimension)
            for key, dimension in self._search.items()
            if fixed is None or key in fixed
        }
        if fixed is None:
            trial.set_user_attr(_VALUES, values)
        self._running[trial.number] = trial
        self._seconds_before[trial.number] = trial.user_attrs.get(_SECONDS, 0.0)
        return Assignment(trial.number, values if fixed is None else {})

    def report(
        self, trial_number: int, step: int, metrics: Mapping[str, float], is_last: bool
    ) -> bool:
        """Records an evaluation of a running trial; returns whether the trial should go on.

        Raises:
            UserError: the model does not have the metric.
        """
        value, trial = self._value(metrics), self._running[trial_number]
        # A trial that was killed repeats some of its steps.
        if step not in self._trials()[trial_number].intermediate_values:
            trial.report(value, step)
        hopeless = trial.should_prune()
        # The first trial is the yardstick for the others, so it is never pruned.
        return is_last or trial_number == 0 or not hopeless

    def spent(self, trial_number: int, seconds: float) -> None:
        """Records the time that a running trial has taken since it was assigned."""
        seconds += self._seconds_before[trial_number]
        self._running[trial_number].set_user_attr(_SECONDS, round(seconds, 2))

    def complete(self, trial_number: int, metrics: Mapping[str, float]) -> None:
        """Records the metrics of a trial's best checkpoint; if not finite, the trial has failed.

        Raises:
            UserError: the model does not have the metric.
        """
        value = self._value(metrics)
        if math.isfinite(value):
            self._end(trial_number, TrialState.COMPLETE, value)
        else:
            self.fail(trial_number, f"{self._tune.metric} is {value} at the best checkpoint")

    def prune(self, trial_number: int) -> None:
        """Records that a trial was stopped early."""
        self._end(trial_number, TrialState.PRUNED)

    def fail(self, trial_number: int, error: str) -> None:
        """Records that a trial failed, with the error."""
        self._running[trial_number].set_user_attr(_ERROR, error)
        self._end(trial_number, TrialState.FAIL)

    def trials(self) -> list[Trial]:
        """Returns all trials, ordered by number."""
        trials = []
        for trial in self._trials():
            evaluations = sorted(trial.intermediate_values.items())
            value = trial.value
            if trial.state == TrialState.PRUNED and evaluations:
                value = evaluations[-1][1]
            trials.append(
                Trial(
                    number=trial.number,
                    state=_STATES.get(trial.state, "waiting"),
                    values=trial.user_attrs.get(_VALUES, {}),
                    value=_finite(value),
                    steps=evaluations[-1][0] if evaluations else 0,
                    seconds=trial.user_attrs.get(_SECONDS, 0.0),
                    evaluations=tuple((step, _finite(value)) for step, value in evaluations),
                    error=trial.user_attrs.get(_ERROR),
                )
            )
        return trials

    def best(self) -> Trial | None:
        """Returns the best complete trial, the first one if tied; None if none is complete."""
        sign = -1 if self._tune.goal == "maximize" else 1
        complete = [
            (sign * trial.value, trial)
            for trial in self.trials()
            if trial.state == "complete" and trial.value is not None
        ]
        return min(complete, key=lambda pair: pair[0], default=(0.0, None))[1]

    def close(self) -> None:
        """Closes the file."""
        self._study._storage.remove_session()

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        # An earlier run may have asked for more trials than this one.
        return self._study.get_trials(deepcopy=False)[: self._tune.trials]

    def _value(self, metrics: Mapping[str, float]) -> float:
        metric = self._tune.metric
        if metric not in metrics:
            known = sorted(set(metrics) - {"global_step"})
            raise UserError(
                f"tune.metric: the model has no eval metric {metric} (known: {', '.join(known)})"
            )
        return metrics[metric]

    def _end(self, trial_number: int, state: TrialState, value: float | None = None) -> None:
        self._study.tell(self._running.pop(trial_number), value, state)

    def _sampler(self, trial_number: int) -> optuna.samplers.BaseSampler:
        seed = np.random.SeedSequence([self._tune.seed, trial_number]).generate_state(1)[0]
        return optuna.samplers.TPESampler(seed=int(seed))


def _pruner(tune: TuneSettings) -> optuna.pruners.BasePruner:
    if tune.pruner == "median":
        return optuna.pruners.MedianPruner()
    if tune.pruner == "asha":
        return optuna.pruners.SuccessiveHalvingPruner(
            min_resource=tune.evaluate_every, reduction_factor=3
        )
    return optuna.pruners.NopPruner()


def _suggest(trial: optuna.trial.Trial, key: str, dimension: Range | Choices) -> Any:
    if isinstance(dimension, Choices):
        texts = [json.dumps(choice) for choice in dimension.choices]
        return json.loads(trial.suggest_categorical(key, texts))
    low, high, step, log = dimension.low, dimension.high, dimension.step, dimension.log
    if isinstance(low, int):
        return trial.suggest_int(key, low, int(high), step=int(step or 1), log=log)
    value = trial.suggest_float(key, low, high, step=step, log=log)
    # Rounded, so that what people read and paste is short and exactly what was tried.
    return min(max(float(f"{value:.{_SIGNIFICANT_DIGITS}g}"), low), high)


def _stored(value: Any, dimension: Range | Choices) -> Any:
    """Converts a value to the study's form: a choice, which may be a list, becomes text."""
    return json.dumps(value) if isinstance(dimension, Choices) else value


def _is_in(value: Any, dimension: Range | Choices) -> bool:
    if isinstance(dimension, Choices):
        return value in dimension.choices
    low, high, step = dimension.low, dimension.high, dimension.step
    accepted = int if isinstance(low, int) else (int, float)
    if not isinstance(value, accepted) or not low <= value <= high:
        return False
    return not step or math.isclose((value - low) / step, round((value - low) / step))


def _finite(value: float | None) -> float | None:
    """Replaces infinity and NaN, which JSON does not have, by None."""
    return value if value is not None and math.isfinite(value) else None
