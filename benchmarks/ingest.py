"""CPU time and memory of ingestion: TableExampleGen, TFX's CsvExampleGen and plain Arrow.

    python benchmarks/ingest.py --rows 250000 4000000 1000000 --stock-rows 1000000

All three read the same CSV of Chicago's taxi trips (`benchmarks/taxi_table.py`, 18 columns):

- `ours`: a pipeline of TableExampleGen alone: types from all rows, three splits, TFRecords;
- `stock`: the same with CsvExampleGen;
- `arrow`: `pyarrow.csv.read_csv` and `pyarrow.parquet.write_table`, which neither split nor
  shuffle, take the types from the first block, and hold the whole table in memory.

Each measurement runs in a separate process, and the three take turns. CPU time excludes imports;
peak memory is reported for the whole process and for the imports alone. Prints the medians and
writes `benchmarks/results/ingest.json`.
"""

import argparse
import json
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))

import rich
import rich.table

from benchmarks import record, taxi_table

RESULTS = pathlib.Path(__file__).with_name("results") / "ingest.json"
WAYS = ("ours", "stock", "arrow")
COLUMNS = 18


def ingest(way: str, folder: pathlib.Path, target: pathlib.Path) -> dict[str, float]:
    """Measures one way of ingesting the table in a folder, in this process."""
    run = _arrow(folder, target) if way == "arrow" else _pipeline(way, folder, target)
    imported = _peak_mb()
    began, cpu = time.monotonic(), time.process_time()
    run()
    return {
        "cpu_s": round(time.process_time() - cpu, 2),
        "wall_s": round(time.monotonic() - began, 2),
        "peak_rss_mb": _peak_mb(),
        "imports_rss_mb": imported,
    }


def _peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def _arrow(folder: pathlib.Path, target: pathlib.Path):
    import pyarrow.csv
    import pyarrow.parquet

    (table,) = folder.iterdir()
    return lambda: pyarrow.parquet.write_table(
        pyarrow.csv.read_csv(table), target / "table.parquet"
    )


def _pipeline(way: str, folder: pathlib.Path, target: pathlib.Path):
    from tfx.components import CsvExampleGen
    from tfx.dsl.components.base import base_component
    from tfx.orchestration import metadata as tfx_metadata
    from tfx.orchestration import pipeline
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.proto import example_gen_pb2

    from components.table_example_gen import Options, TableExampleGen
    from pipeline.config.beam_config import Beam
    from pipeline.graph import beam_args

    splits = [
        example_gen_pb2.SplitConfig.Split(name=name, hash_buckets=buckets)
        for name, buckets in (("train", 8), ("eval", 1), ("test", 1))
    ]
    arguments = {
        "input_base": str(folder),
        "output_config": example_gen_pb2.Output(
            split_config=example_gen_pb2.SplitConfig(splits=splits)
        ),
    }
    component: base_component.BaseComponent
    if way == "ours":
        component = TableExampleGen(**arguments, options=Options(format="csv"))
    else:
        component = CsvExampleGen(**arguments)
    tfx_pipeline = pipeline.Pipeline(
        pipeline_name="ingest",
        pipeline_root=str(target),
        components=[component],
        metadata_connection_config=tfx_metadata.sqlite_metadata_connection_config(
            str(target / "metadata.sqlite")
        ),
        beam_pipeline_args=beam_args.for_components(Beam()),
    )
    return lambda: LocalDagRunner().run(tfx_pipeline)


def measure(way: str, folder: pathlib.Path) -> dict[str, float]:
    """Runs `ingest` in a separate process."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as target:
        command = [sys.executable, __file__, "--measure", way, str(folder), target]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
        )
        return json.loads(done.stdout.splitlines()[-1])


def summary(measurements: list[dict]) -> list[dict]:
    """Returns medians for each way and number of rows, and our speed relative to that way."""
    groups: dict[tuple[int, str], list[dict]] = {}
    for measures in measurements:
        groups.setdefault((measures["rows"], measures["way"]), []).append(measures)
    medians = {
        case: {
            key: round(statistics.median(measures[key] for measures in group), 2)
            for key in ("cpu_s", "wall_s", "peak_rss_mb", "imports_rss_mb")
        }
        for case, group in groups.items()
    }
    return [
        {
            "rows": rows,
            "way": way,
            "repetitions": len(groups[rows, way]),
            **measures,
            "rows_per_cpu_s": round(rows / measures["cpu_s"]),
            "our_speed": round(measures["cpu_s"] / medians[rows, "ours"]["cpu_s"], 2),
        }
        for (rows, way), measures in sorted(medians.items())
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[250_000, 1_000_000])
    parser.add_argument("--repetitions", type=int, default=3, help="runs of each kind")
    parser.add_argument("--stock-rows", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--stock-repetitions", type=int, default=1, help="a run takes minutes")
    parser.add_argument("--measure", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        way, *paths = arguments.measure
        print(json.dumps(ingest(way, *map(pathlib.Path, paths))))
        return

    measurements = []
    with tempfile.TemporaryDirectory() as scratch:
        for rows in arguments.rows:
            folder = pathlib.Path(scratch) / f"trips-{rows}"
            folder.mkdir()
            taxi_table.write(folder / "trips.csv", rows)
            for repetition in range(arguments.repetitions):
                for way in WAYS:
                    most = arguments.stock_repetitions if rows in arguments.stock_rows else 0
                    if way == "stock" and repetition >= most:
                        continue
                    measurement = {"rows": rows, "way": way, **measure(way, folder)}
                    print(measurement, flush=True)
                    measurements.append(measurement)
                    record.write(RESULTS, summary(measurements), repetitions=measurements)

    rows_of = summary(measurements)
    table = rich.table.Table(*rows_of[0], title=f"{COLUMNS} columns")
    for row in rows_of:
        table.add_row(*(str(value) for value in row.values()))
    rich.print(table)


if __name__ == "__main__":
    main()
