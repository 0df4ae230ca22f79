"""Presents the result of a hyperparameter search as a table, a sentence or YAML."""

import json
from collections.abc import Mapping
from typing import Any

import yaml
from rich import box
from rich.table import Table

_STATES = {"complete": "green", "pruned": "yellow", "failed": "bold red"}


class Tuning:
    """The trials of a search.

    Attributes:
        metric, maximize: the metric that was compared, and whether higher is better.
        keys: the keys that were searched.
        trials: the trials by number, see `components.tuner.study.Study.trials`.
        best: the best trial.
        configured_trial: trial 0, the configuration as it is.
    """

    def __init__(self, results: Mapping[str, Any]):
        self.metric: str = results["tune"]["metric"]
        self.maximize: bool = results["tune"]["goal"] == "maximize"
        self.keys = list(results["tune"]["search"])
        self.trials: list[dict[str, Any]] = results["trials"]
        self.best, self.configured_trial = self.trials[results["best"]], self.trials[0]

    @property
    def ranked(self) -> list[dict[str, Any]]:
        """The trials: complete, then pruned, then failed ones, each from best to worst."""
        order = list(_STATES)

        def rank(trial: Mapping[str, Any]) -> tuple:
            value = trial["value"]
            cost = (-value if self.maximize else value) if value is not None else 0.0
            return order.index(trial["state"]), cost, trial["number"]

        return sorted(self.trials, key=rank)

    def table(self) -> Table:
        """Returns a table of the trials, the best first."""
        table = Table(
            box=box.SIMPLE_HEAD,
            collapse_padding=True,
            caption="change: relative to trial 0, the configuration as it is",
            caption_justify="left",
        )
        for title in ("rank", "trial", self.metric, "change", "steps", "seconds"):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("state", no_wrap=True)
        for key in self.keys:
            table.add_column(key.rpartition(".")[2], justify="right", overflow="fold")
        for rank, trial in enumerate(self.ranked, 1):
            complete = trial["state"] == "complete"
            table.add_row(
                str(rank) if complete else "",
                str(trial["number"]),
                number(trial["value"]),
                self._change(trial) if complete and trial is not self.configured_trial else "",
                str(trial["steps"]),
                f"{trial['seconds']:.0f}",
                f"[{_STATES[trial['state']]}]{trial['state']}[/]",
                *(_shown(trial["values"].get(key, "default")) for key in self.keys),
                style="bold" if trial is self.best else None,
            )
        return table

    def conclusion(self) -> str:
        """Returns a sentence that compares the best trial with trial 0."""
        best, configured = self.best, self.configured_trial
        own = "the configuration's own parameters"
        if best is configured:
            return f"None of {len(self.trials)} trials is better than {own}."
        verdict = f"Trial {best['number']} is the best: {self.metric} {number(best['value'])}"
        if configured["state"] != "complete":
            return f"{verdict}; {own} failed: {configured['error']}."
        return f"{verdict} against {number(configured['value'])} for {own} ({self._change(best)})."

    def yaml(self) -> str:
        """Returns the best parameters as the YAML of a configuration."""
        nested: dict[str, Any] = {}
        for key, value in self.best["values"].items():
            *sections, name = key.split(".")
            mapping = nested
            for section in sections:
                mapping = mapping.setdefault(section, {})
            mapping[name] = value
        return yaml.dump(nested, Dumper=_Dumper, sort_keys=False).rstrip()

    def chosen(self) -> str:
        """Returns the best parameters, rounded, on one line."""
        rank = f"the best of {len(self.trials)} trials"
        if self.best is self.configured_trial:
            return f"the configuration's own parameters, {rank}"
        values = (
            f"{key.removeprefix('model.params.')} {_shown(value)}"
            for key, value in self.best["values"].items()
        )
        return f"{', '.join(values)} ({rank})"

    def _change(self, trial: Mapping[str, Any]) -> str:
        """Formats the change from trial 0, in percent if its value is above 0, else absolute."""
        if self.configured_trial["state"] != "complete":
            return ""
        value, configured = trial["value"], self.configured_trial["value"]
        return f"{value / configured - 1:+.1%}" if configured > 0 else f"{value - configured:+.4g}"


class _Dumper(yaml.SafeDumper):
    """YAML dumper that writes lists on one line."""


_Dumper.add_representer(
    list,
    lambda dumper, value: dumper.represent_sequence(
        "tag:yaml.org,2002:seq", value, flow_style=True
    ),
)


def number(value: float | None) -> str:
    """Formats a metric's value; None as `-`."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 10_000 else f"{value:.5g}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return json.dumps(value).strip('"')
