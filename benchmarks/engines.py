"""Whole runs on other engines of Beam beside the in-process runner: results and costs.

    python benchmarks/engines.py --rows 200000 1000000

Each engine that can be obtained here (`beam_engines.py`) runs King County and tables of taxi trips,
right after the in-process runner has. Each run is a separate process with a fresh workspace. CPU
time includes the engine's own processes and its workers. Prints tables and writes
`benchmarks/results/engines.json`.
"""

import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import psutil
import rich
import rich.table

from benchmarks import beam_engines, pipeline, record, taxi_table

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results" / "engines.json"
KING_COUNTY = HERE.parent / "data" / "king_county" / "pipeline.yaml"
IN_PROCESS = "in-process"
BEAM_STEPS = ("TableExampleGen", "StatisticsGen", "Transform", "Evaluator")


def measure(
    config: pathlib.Path, settings: Iterable[str], engine: beam_engines.Started | None
) -> dict[str, Any]:
    """Measures a run in a separate process.

    Args:
        config: the problem's configuration.
        settings: `key=value` settings.
        engine: the engine to use; by default the in-process runner.

    Raises:
        SystemExit: the run failed or pushed no model.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        nodes, workspace, log = folder / "nodes.json", folder / "workspace", folder / "log"
        script = str(HERE / "measured_run.py")
        command = [sys.executable, script, "ours", str(folder), str(workspace), str(nodes)]
        command += ["--config", str(config)]
        chosen = [f"beam={json.dumps(engine.section)}"] if engine else []
        command += [word for setting in [*settings, *chosen] for word in ("--set", setting)]
        before, began = _cpu(engine), time.monotonic()
        with open(log, "w") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
            _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        if os.waitstatus_to_exitcode(status) != 0:
            raise SystemExit(f"{command}: no model was pushed:\n{log.read_text()[-2000:]}")
        (verdict,) = workspace.glob("artifacts/Evaluator/evaluation/*/verdict.json")
        (report,) = workspace.glob("artifacts/TableExampleGen/examples/*/ingestion.json")
        costs = json.loads(nodes.read_text())
        return {
            "splits": json.loads(report.read_text())["splits"],
            "metrics": json.loads(verdict.read_text())["metrics"]["overall"],
            "wall_s": round(wall, 2),
            "cpu_s": round(usage.ru_utime + usage.ru_stime + _cpu(engine) - before, 2),
            "beam_wall_s": round(sum(costs[node]["wall_s"] for node in BEAM_STEPS), 2),
            "nodes": costs,
        }


def _cpu(engine: beam_engines.Started | None) -> float:
    """Returns the CPU seconds of an engine's processes and of all of their children."""
    total = 0.0
    for started in engine.processes if engine else ():
        process = psutil.Process(started.pid)
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += sum(one.cpu_times()[:4])
    return total


@contextlib.contextmanager
def engines(logs: pathlib.Path) -> Iterator[dict[str, beam_engines.Started | None]]:
    """Starts the engines that can be obtained here; prints what the others lack."""
    with contextlib.ExitStack() as stack:
        started: dict[str, beam_engines.Started | None] = {IN_PROCESS: None}
        for name, start in beam_engines.ENGINES.items():
            (logs / name).mkdir()
            try:
                started[name] = stack.enter_context(start(logs / name))
            except beam_engines.Missing as missing:
                print(f"{name} is left out: {missing}", flush=True)
        yield started


def summary(repetitions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns a row for each run: its metrics, its costs, and the costs' ratios to in-process."""
    in_process = {r["table"]: r for r in repetitions if r["engine"] == IN_PROCESS}
    rows = []
    for one in repetitions:
        reference = in_process[one["table"]]
        rows.append(
            {
                **{key: one[key] for key in ("table", "engine", "splits")},
                "metrics": {name: one["metrics"][name] for name in _shown(one["metrics"])},
                "largest_difference": _largest_difference(one["metrics"], reference["metrics"]),
                **{key: one[key] for key in ("wall_s", "cpu_s", "beam_wall_s")},
                "wall_ratio": round(one["wall_s"] / reference["wall_s"], 3),
                "cpu_ratio": round(one["cpu_s"] / reference["cpu_s"], 3),
            }
        )
    return rows


def _shown(metrics: Mapping[str, float]) -> list[str]:
    return [name for name in ("rmse", "mae", "skill", "auc", "log_loss") if name in metrics]


def _largest_difference(metrics: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Returns the largest relative difference of a metric."""
    return max(
        abs(value - reference[name]) / (abs(reference[name]) or 1)
        for name, value in metrics.items()
    )


def show(rows: list[dict[str, Any]]) -> None:
    """Prints the runs."""
    columns = ("table", "engine", "rows", "metrics", "wall s", "CPU s", "Beam steps s")
    table = rich.table.Table(*columns, "largest difference of a metric")
    for row in rows:
        metrics = ", ".join(f"{name} {value:.6g}" for name, value in row["metrics"].items())
        costs = [f"{row[key]:g}" for key in ("wall_s", "cpu_s", "beam_wall_s")]
        count = f"{sum(row['splits'].values()):,}"
        difference = f"{row['largest_difference']:.1e}"
        table.add_row(row["table"], row["engine"], count, metrics, *costs, difference)
    rich.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="*", default=[200_000], help="taxi trips")
    arguments = parser.parse_args()
    repetitions: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder, engines(pathlib.Path(folder)) as started:
        for rows in (None, *arguments.rows):
            config, settings, table = KING_COUNTY, list[str](), "king_county"
            if rows:
                trips = pathlib.Path(folder) / f"trips_{rows}.csv"
                taxi_table.write(trips, rows, label=True)
                config, settings, table = pipeline.CONFIG, pipeline.settings(trips), trips.stem
            for engine, process in started.items():
                measured = measure(config, settings, process)
                repetitions.append({"table": table, "engine": engine, **measured})
                print(f"{table}, {engine}: {measured['wall_s']} s", flush=True)
            record.write(RESULTS, summary(repetitions), repetitions=repetitions)
    show(summary(repetitions))


if __name__ == "__main__":
    main()
