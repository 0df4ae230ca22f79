"""Plots the trials of a search: the value of each trial, and its evaluations by step."""

import pathlib
from collections.abc import Sequence

from pipeline.console.search_result import Tuning

_COLORS = {"complete": "#2a6fb0", "pruned": "#d97706", "failed": "#b91c1c"}
_PALE = "#a8b3c2"


def draw(tuning: Tuning, path: pathlib.Path) -> None:
    """Writes the chart to a PNG file."""
    # This import takes a second; only `tune` needs it.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _values(left, tuning)
    _evaluations(right, tuning)
    figure.savefig(path, dpi=120)


def _values(axes, tuning: Tuning) -> None:
    """Plots the value of each trial in order, and the best value so far."""
    best_so_far: list[tuple[int, float]] = []
    for trial in tuning.trials:
        if trial["state"] == "complete":
            choose = max if tuning.maximize else min
            values = [value for _, value in best_so_far[-1:]]
            best_so_far.append((trial["number"], choose([*values, trial["value"]])))
    best_so_far.append((tuning.trials[-1]["number"], best_so_far[-1][1]))
    axes.step(*zip(*best_so_far), where="post", color=_COLORS["complete"], label="best so far")
    for state, marker in (("complete", "o"), ("pruned", "x")):
        trials = [t for t in tuning.trials if t["state"] == state and t["value"] is not None]
        axes.scatter(
            [trial["number"] for trial in trials],
            [trial["value"] for trial in trials],
            marker=marker,
            color=_COLORS[state],
            zorder=3,
            label=f"{state} ({len(trials)})",
        )
    for trial in tuning.trials:
        if trial["state"] == "failed":
            axes.axvline(trial["number"], color=_COLORS["failed"], linestyle=":", label="failed")
    axes.set(title="Trials in order", xlabel="trial", ylabel=tuning.metric)
    axes.xaxis.get_major_locator().set_params(integer=True)
    _finish(axes, tuning, [trial["value"] for trial in tuning.trials])


def _evaluations(axes, tuning: Tuning) -> None:
    """Plots the evaluations of each trial; pruned and failed ones end in a cross."""
    for trial in reversed(tuning.ranked):
        curve = [(step, value) for step, value in trial["evaluations"] if value is not None]
        if not curve:
            continue
        style: dict = {"color": _COLORS[trial["state"]], "linewidth": 1, "label": trial["state"]}
        if trial is tuning.best:
            style.update(linewidth=2.5, label=f"trial {trial['number']}, the best")
        elif trial["state"] == "complete":
            style.update(color=_PALE)
        if trial["state"] != "complete" or len(curve) == 1:
            style.update(marker="o" if trial["state"] == "complete" else "x", markevery=[-1])
        axes.plot(*zip(*curve), **style)
    axes.set(title="Evaluations on the way", xlabel="training step", ylabel=tuning.metric)
    _finish(axes, tuning, [v for trial in tuning.trials for _, v in trial["evaluations"]])


def _finish(axes, tuning: Tuning, values: Sequence[float | None]) -> None:
    if tuning.configured_trial["state"] == "complete":
        configured = tuning.configured_trial["value"]
        axes.axhline(configured, color="black", linestyle="--", linewidth=1, label="as configured")
    known = [value for value in values if value is not None]
    # Otherwise one diverged trial would flatten all the others.
    if min(known) > 0 and max(known) > 10 * min(known):
        axes.set_yscale("log")
    axes.grid(alpha=0.3)
    handles, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, handles))
    axes.legend(by_label.values(), by_label, fontsize="small")
