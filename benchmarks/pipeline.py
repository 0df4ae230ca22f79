"""Cost of the whole pipeline, from CSV to pushed model, compared with TFX's own taxi template.

    python benchmarks/pipeline.py --rows 15000 100000 --repetitions 3

Both use the same table (`taxi_table.py`), number of steps and batch size, and train the same kind
of Estimator on the same three columns. The template runs as shipped with TFX, on its
LocalDagRunner, except that its Evaluator is repaired (`stock.py`). Each run is a separate process
with a fresh workspace, in alternating order. Wall time, CPU time and peak memory are measured for
the process with its children, imports included, and for each node. Prints tables of medians, draws
`benchmarks/results/pipeline.png` and writes `benchmarks/results/pipeline.json`.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import rich
import rich.table

from benchmarks import record, taxi_table

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "pipeline.json"
CHART = HERE / "results" / "pipeline.png"
CONFIG = HERE / "datasets" / "trips.yaml"
WAYS = ("ours", "stock")
STEPS, BATCH_SIZE = 1000, 40
MEASURES = {"wall_s": "wall s", "cpu_s": "CPU s", "peak_rss_mb": "peak MB"}


def measure(way: str, table: pathlib.Path, folder: pathlib.Path) -> dict[str, Any]:
    """Measures a run in a separate process.

    Args:
        way: `ours` or `stock`.
        table: path of the CSV, the only file in its folder.
        folder: empty folder for the workspace.

    Raises:
        SystemExit: the run failed or pushed no model.
    """
    nodes = folder / "nodes.json"
    workspace = folder / "workspace"
    command = [sys.executable, str(HERE / "measured_run.py"), way]
    command += [str(table.parent), str(workspace), str(nodes)]
    if way == "stock":
        command += ["--steps", str(STEPS), "--batch-size", str(BATCH_SIZE)]
    else:
        command += ["--config", str(CONFIG)]
        command += [word for setting in settings(table) for word in ("--set", setting)]
    log = folder / "log"
    began = time.monotonic()
    with open(log, "w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    pushed = (workspace / "serving").exists() and any((workspace / "serving").iterdir())
    if os.waitstatus_to_exitcode(status) != 0 or not pushed:
        raise SystemExit(f"{way}: no model was pushed:\n{log.read_text()[-2000:]}")
    costs = json.loads(nodes.read_text())
    return {
        "wall_s": round(time.monotonic() - began, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        # The process's own peak is reset for each node, so the total is the largest of them.
        "peak_rss_mb": max(cost["peak_rss_mb"] for cost in costs.values()),
        "nodes": costs,
    }


def settings(table: pathlib.Path) -> list[str]:
    """Returns the settings that our way overrides in its configuration, as `key=value`."""
    return [
        f"data.path={table}",
        f"train.max_steps={STEPS}",
        f"train.evaluate_every={STEPS}",
        f"train.batch_size={BATCH_SIZE}",
    ]


def summary(repetitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns, for each number of rows, medians of both ways and of the ratios of paired runs."""
    medians = []
    for rows in sorted({pair["rows"] for pair in repetitions}):
        pairs = [pair for pair in repetitions if pair["rows"] == rows]
        row: dict[str, Any] = {"rows": rows, "repetitions": len(pairs)}
        for key in MEASURES:
            ratios = [pair["ours"][key] / pair["stock"][key] for pair in pairs]
            row[f"{key.rpartition('_')[0].replace('peak_', '')}_ratio"] = _rounded(ratios)
            row |= {f"{way}_{key}": _rounded([pair[way][key] for pair in pairs]) for way in WAYS}
        medians.append(row)
    return medians


def _rounded(values: list[float]) -> float:
    return round(statistics.median(values), 3)


def draw(rows: list[dict[str, Any]], path: pathlib.Path) -> None:
    """Draws a chart of costs by number of rows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(MEASURES), figsize=(12, 3.6), constrained_layout=True)
    counts = [row["rows"] for row in rows]
    for axis, (key, title) in zip(axes, MEASURES.items()):
        for way, colour in zip(WAYS, ("tab:blue", "tab:gray")):
            axis.plot(counts, [row[f"{way}_{key}"] for row in rows], "o-", color=colour, label=way)
        axis.set(xscale="log", xlabel="rows", title=title)
        axis.set_xticks(counts, [f"{count:,}" for count in counts])
        axis.minorticks_off()
        axis.set_ylim(bottom=0)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=110)


def show(rows: list[dict[str, Any]], repetitions: list[dict[str, Any]]) -> None:
    """Prints the totals, and the cost of each node at each number of rows."""
    totals = rich.table.Table(
        "rows", *(f"{way} {title}" for title in MEASURES.values() for way in WAYS)
    )
    totals.title = "medians"
    for row in rows:
        cells = [f"{row[f'{way}_{key}']:g}" for key in MEASURES for way in WAYS]
        totals.add_row(f"{row['rows']:,}", *cells)
    rich.print(totals)
    for row in rows:
        runs = [pair for pair in repetitions if pair["rows"] == row["rows"]]
        nodes = rich.table.Table("node", "wall s", "CPU s", "peak MB")
        nodes.title = f"nodes at {row['rows']:,} rows"
        for way in WAYS:
            for name in runs[0][way]["nodes"]:
                costs = [pair[way]["nodes"][name] for pair in runs]
                cells = [f"{_rounded([cost[key] for cost in costs]):g}" for key in MEASURES]
                nodes.add_row(f"{way} {name}", *cells)
        rich.print(nodes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[15_000, 100_000, 1_000_000])
    parser.add_argument("--repetitions", type=int, default=3, help="runs of each kind")
    arguments = parser.parse_args()
    known = json.loads(RESULTS.read_text())["repetitions"] if RESULTS.exists() else []
    repetitions = [repetition for repetition in known if repetition["rows"] not in arguments.rows]
    for rows in arguments.rows:
        with tempfile.TemporaryDirectory() as folder:
            table = pathlib.Path(folder) / "table" / "trips.csv"
            table.parent.mkdir()
            taxi_table.write(table, rows, label=True)
            for index in range(arguments.repetitions):
                pair: dict[str, Any] = {"rows": rows}
                for way in WAYS if index % 2 == 0 else WAYS[::-1]:
                    with tempfile.TemporaryDirectory() as workspace:
                        pair[way] = measure(way, table, pathlib.Path(workspace))
                    print(f"{rows:,} rows, {way}: {pair[way]['wall_s']} s", flush=True)
                repetitions.append(pair)
        medians = summary(repetitions)
        record.write(RESULTS, medians, repetitions=repetitions)
        draw(medians, CHART)
    show(medians, repetitions)
    print(f"written: {CHART.relative_to(HERE.parent)}")


if __name__ == "__main__":
    main()
