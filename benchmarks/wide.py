"""CPU time and peak memory of a whole run on wide tables, compared with narrow ones.

    python benchmarks/wide.py

Each table is generated from a fixed seed and run in a separate process, from the CSV to the
verdict, imports included. Prints a table and writes `benchmarks/results/wide.json`.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import numpy as np
import rich
import rich.table

from benchmarks import record

RESULTS = pathlib.Path(__file__).with_name("results") / "wide.json"
CONFIGURATION = """\
task: regression
label: cost
data: t.csv
model: mlp
train: {max_steps: 60}
gates: {rmse: {at_most: 1000}}
"""
WORDS = 12


@dataclasses.dataclass(frozen=True)
class Table:
    """A table to generate, with `columns` columns of a kind and a label."""

    kind: str
    columns: int
    rows: int


TABLES = (
    Table("text", 1, 600),
    Table("text", 100, 600),
    Table("numbers", 10, 400),
    Table("numbers", 2000, 400),
)


def write(table: Table, folder: pathlib.Path) -> None:
    """Writes the table and its configuration; the label depends on the first column."""
    random = np.random.default_rng(7)
    names = [f"{table.kind}_{index}" for index in range(table.columns)]
    if table.kind == "text":
        word_ids = random.integers(0, WORDS, (table.rows, table.columns))
        cells = [[f"w{column}_{word_id}" for column, word_id in enumerate(row)] for row in word_ids]
        first: np.ndarray = word_ids[:, 0]
    else:
        values = random.normal(0, 1, (table.rows, table.columns))
        cells = [[f"{value:.4f}" for value in row] for row in values]
        first = 10 * values[:, 0]
    label = 100 + first + random.normal(0, 1, table.rows)
    lines = [",".join([*names, "cost"])]
    lines += [",".join([*row, f"{cost:.3f}"]) for row, cost in zip(cells, label)]
    (folder / "t.csv").write_text("\n".join(lines) + "\n")
    (folder / "pipeline.yaml").write_text(CONFIGURATION)


def measured(table: Table, folder: pathlib.Path) -> dict[str, float]:
    """Measures a run of the pipeline on a table, in a separate process."""
    write(table, folder)
    nodes = folder / "nodes.json"
    command = [sys.executable, str(pathlib.Path(__file__).with_name("measured_run.py")), "ours"]
    command += [str(folder), str(folder / "workspace"), str(nodes)]
    command += ["--config", str(folder / "pipeline.yaml")]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{table}: the run ended with {os.waitstatus_to_exitcode(status)}")
    costs = json.loads(nodes.read_text())
    return {
        "wall_s": round(time.monotonic() - began, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_rss_mb": used.ru_maxrss // 1024,
        **{f"{name}_cpu_s": cost["cpu_s"] for name, cost in costs.items() if cost["cpu_s"] > 1},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.parse_args()
    rows = []
    for table in TABLES:
        with tempfile.TemporaryDirectory() as folder:
            rows.append({**dataclasses.asdict(table), **measured(table, pathlib.Path(folder))})

    shown = ("kind", "columns", "rows", "wall_s", "cpu_s", "peak_rss_mb")
    printed = rich.table.Table(*shown, title="from CSV to verdict")
    for row in rows:
        printed.add_row(*(str(row[name]) for name in shown))
    rich.print(printed)
    record.write(RESULTS, rows)


if __name__ == "__main__":
    main()
