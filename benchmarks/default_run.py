"""The cost of `make run`: the default problem in a fresh workspace, then again from the cache.

    python benchmarks/default_run.py

Each repetition starts two processes, as a user would. Wall time, CPU time and peak memory are those
of the whole process, imports included. Prints a table of medians and writes
`benchmarks/results/default_run.json`.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import rich
import rich.table

from benchmarks import record

REPOSITORY = pathlib.Path(__file__).parents[1]
RESULTS = pathlib.Path(__file__).with_name("results") / "default_run.json"
RUNNER = [sys.executable, str(REPOSITORY / "local_runner.py"), "run", "--workspace"]


def measure(workspace: str) -> dict[str, float]:
    """Measures a run in a separate process; raises `SystemExit` if the run fails."""
    began = time.monotonic()
    process = subprocess.Popen([*RUNNER, workspace], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise SystemExit(f"the run in {workspace} failed: {os.waitstatus_to_exitcode(status)}")
    return {
        "wall_s": round(time.monotonic() - began, 2),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_rss_mb": round(usage.ru_maxrss / 1024),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=3, help="runs of each kind")
    repetitions = parser.parse_args().repetitions
    raw: dict[str, list[dict[str, float]]] = {"fresh": [], "cached": []}
    for _ in range(repetitions):
        with tempfile.TemporaryDirectory() as workspace:
            for kind in raw:
                raw[kind].append(measure(workspace))

    summary = [
        {"run": kind, **{key: statistics.median(r[key] for r in runs) for key in runs[0]}}
        for kind, runs in raw.items()
    ]
    table = rich.table.Table("run", "wall s", "CPU s", "peak MB", title=f"medians of {repetitions}")
    for row in summary:
        table.add_row(*(str(value) for value in row.values()))
    rich.print(table)
    record.write(RESULTS, summary, repetitions=raw)


if __name__ == "__main__":
    main()
