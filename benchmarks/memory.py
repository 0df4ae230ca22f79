"""Peak memory of training on examples that exceed the cache, compared with a small table.

    make run
    python benchmarks/memory.py --gigabytes 8

The transformed train split of a finished run is copied until its parsed examples have the requested
size. An Estimator then makes one pass over the copies, and one over the original, each in a
separate process. Both use the same `train.cache_mb`, which the copies exceed, so that they are
streamed. The model is linear and batches are large, since the input is what is measured. Prints a
table and writes `benchmarks/results/memory.json`.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import rich
import rich.table

from benchmarks import record
from benchmarks.transformed import finished_problem

RESULTS = pathlib.Path(__file__).with_name("results") / "memory.json"
BATCH = 4096
CACHE_MB = 256
SETTINGS = {
    "model.name": "premade.linear",
    "model.params": {},
    "train.batch_size": BATCH,
    "train.cache_mb": CACHE_MB,
    "train.epochs": 1,
    "train.evaluate_every": 10**9,
}


def one_pass(problem, files: list[str]) -> dict[str, float]:
    """Trains on the files once; needs a process of its own, whose peak memory it returns."""
    from models.features import inputs
    from models.training import fitting

    problem = dataclasses.replace(problem, train_files=tuple(files)).replaced(SETTINGS)
    context = problem.context()
    spec = problem.transform_output.transformed_feature_spec()
    with tempfile.TemporaryDirectory() as directory:
        began = time.monotonic()
        estimator = fitting.make_estimator(problem, context, pathlib.Path(directory))
        estimator.train(problem.train_input(context.rows), max_steps=context.max_steps)
        seconds = time.monotonic() - began
    return {
        "rows": context.rows,
        "files_gb": round(sum(pathlib.Path(file).stat().st_size for file in files) / 1e9, 3),
        "parsed_gb": round(context.rows * inputs.bytes_per_row(spec) / 1e9, 3),
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "rows_per_second": round(context.rows / seconds),
    }


def measured(args: argparse.Namespace, folder: pathlib.Path) -> dict[str, float]:
    """Runs `one_pass` on the files of a folder, in a separate process."""
    command = [sys.executable, __file__, "--config", str(args.config), "--files", str(folder)]
    command += ["--workspace", str(args.workspace)] if args.workspace else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="data/king_county/pipeline.yaml", type=pathlib.Path)
    parser.add_argument("--workspace", type=pathlib.Path, help="workspace of a finished run")
    parser.add_argument(
        "--gigabytes",
        type=float,
        default=8.0,
        help="of parsed examples",
    )
    parser.add_argument("--files", type=pathlib.Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    problem = finished_problem(args.config, args.workspace)
    if args.files:
        print(json.dumps(one_pass(problem, sorted(map(str, args.files.iterdir())))))
        return

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        small, large = (pathlib.Path(scratch) / name for name in ("small", "large"))
        small.mkdir()
        for index, file in enumerate(problem.train_files):
            shutil.copy(file, small / f"{index:05}.gz")
        rows.append({"table": "the run's", **measured(args, small)})
        large.mkdir()
        copies = round(args.gigabytes / rows[0]["parsed_gb"])
        for copy in range(copies):
            for file in small.iterdir():
                shutil.copy(file, large / f"{copy:05}-{file.name}")
        rows.append({"table": f"{copies:,} times that", **measured(args, large)})

    table = rich.table.Table(*rows[0], title=f"one pass, cache_mb: {CACHE_MB}")
    for row in rows:
        table.add_row(
            *(f"{value:,}" if not isinstance(value, str) else value for value in row.values())
        )
    rich.print(table)
    record.write(RESULTS, rows)


if __name__ == "__main__":
    main()
