"""Costs and benefits of training in a cluster of processes, compared with a single process.

    make run
    python benchmarks/distributed.py

The same model is trained on the transformed examples of a finished run, for the same total number
of steps:

- `single`: one process, as without `train.cluster`;
- `1 worker`: a chief whose variables are on a parameter server;
- `2 workers`, `3 workers`: the chief with one or two workers.

The chief evaluates, as the single process does. Each training runs in a separate process, in
alternating order. Measured are

- steps and examples per second of the chief and all workers together, and the cost of a step: CPU
  seconds by role, and bytes through the loopback device, in both directions. Time in which the
  chief saves or evaluates is excluded, and so is the first fifth of the steps, with start-up;
- the seconds from the start of the process until an evaluation reaches the target loss, and the
  best loss.

Prints a table of medians and writes `benchmarks/results/distributed.json`.
"""

import argparse
import dataclasses
import json
import math
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import types
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import psutil
import rich
import rich.table

from benchmarks import record
from models.settings.training_settings import Tasks

RESULTS = pathlib.Path(__file__).with_name("results") / "distributed.json"
SINGLE = "single"
WAYS = {
    SINGLE: None,
    "1 worker": Tasks(workers=0, evaluator=False, max_restarts=0),
    "2 workers": Tasks(workers=1, evaluator=False, max_restarts=0),
    "3 workers": Tasks(workers=2, evaluator=False, max_restarts=0),
}
CHIEF, WORKER, SERVER = "chief", "worker", "ps"


@dataclasses.dataclass
class Reading:
    """The meters at one moment of the training.

    Attributes:
        at: seconds since the process began.
        step: the global step.
        cpu: CPU seconds so far of all tasks of a role, by role.
        bytes: bytes through the loopback device so far.
    """

    at: float
    step: int
    cpu: dict[str, float]
    bytes: int


class Watch:
    """An observer of a training that reads the meters at each step event."""

    def __init__(self, began: float):
        self.readings: list[Reading] = []
        self.evaluations: list[tuple[float, float]] = []
        self.costs: dict[str, float] = {}
        self._began = began
        self._disturbed = True

    def record_event(self, event: str, **message: Any) -> None:
        """See `models.progress.training_progress.Progress.record_event`."""
        if event == "evaluation":
            at = time.time() - self._began
            self.evaluations.append((at, message["metrics"]["loss"]))
        if event == "step":
            self._read(message["step"])
        self._disturbed = event != "step"

    def _read(self, step: int) -> None:
        new = Reading(time.time() - self._began, step, cpu_by_role(), loopback_bytes())
        if not self._disturbed and self.readings:
            self._add(self.readings[-1], new)
        self.readings.append(new)

    def _add(self, old: Reading, new: Reading) -> None:
        """Adds the cost of an interval in which only steps were made."""
        costs = {"steps": new.step - old.step, "seconds": new.at - old.at}
        costs["bytes"] = new.bytes - old.bytes
        costs |= {role: new.cpu[role] - old.cpu.get(role, 0) for role in new.cpu}
        for key, value in costs.items():
            self.costs[key] = self.costs.get(key, 0) + value

    def forget_costs(self) -> None:
        """Resets the costs, so that counting starts now."""
        self.costs = {}


def cpu_by_role() -> dict[str, float]:
    """Returns CPU seconds of a cluster's tasks by role; without a cluster, of this process."""
    seconds: dict[str, float] = {}
    for child in psutil.Process().children():
        role = json.loads(child.environ().get("TF_CONFIG", "{}")).get("task", {}).get("type")
        if role:
            seconds[role] = seconds.get(role, 0) + sum(child.cpu_times()[:2])
    return seconds or {CHIEF: sum(psutil.Process().cpu_times()[:2])}


def loopback_bytes() -> int:
    """Returns the bytes received by the loopback device since the machine started."""
    return psutil.net_io_counters(pernic=True)["lo"].bytes_recv


def measure(way: str, config: pathlib.Path, workspace: pathlib.Path | None, steps: int) -> dict:
    """Measures one training, in this process and its children."""
    began = psutil.Process().create_time()
    from etils import epath

    from benchmarks.transformed import finished_problem
    from models.distributed import launchers
    from models.progress.training_progress import Progress
    from models.training import fitting
    from models.training.problem import Problem

    finished = finished_problem(config, workspace)
    settings = finished.settings.with_train(
        max_steps=steps, epochs=None, evaluate_every=steps // 15, cluster=WAYS[way]
    )
    fn_args = types.SimpleNamespace(
        train_files=list(finished.train_files),
        eval_files=list(finished.eval_files),
        schema_path=f"{finished.transform_graph}/metadata/schema.pbtxt",
        transform_output=finished.transform_graph,
        custom_config={"problem": settings.to_json()},
    )
    watch = Watch(began)

    class Watched(Progress):
        def record_event(self, event: str, **message: Any) -> None:
            super().record_event(event, **message)
            if self.step < steps / 5:
                watch.forget_costs()
            watch.record_event(event, **message)

    problem, progress = Problem.of(fn_args), Watched(steps)
    context = problem.context()
    with tempfile.TemporaryDirectory() as folder:
        directory = epath.Path(folder)
        if tasks := WAYS[way]:
            launchers.current().train(tasks, directory, fn_args, progress)
        else:

            def on_evaluation(step, metrics):
                progress.record_event("evaluation", step=step, metrics=metrics)

            fitting.fit(problem, context, directory, on_evaluation, progress.record_event)
        variables = trainable_bytes(directory)
    costs = watch.costs
    per_step = {key: costs[key] / costs["steps"] for key in costs if key != "steps"}
    rate = 1 / per_step.pop("seconds")
    return {
        "steps_per_s": round(rate, 2),
        "examples_per_s": round(rate * problem.settings.train.batch_size),
        "kb_per_step": round(per_step.pop("bytes") / 1000, 1),
        "cpu_ms_per_step": {role: round(1000 * value, 2) for role, value in per_step.items()},
        "trainable_kb": round(variables / 1000, 1),
        "evaluations": [(round(at, 1), round(loss, 5)) for at, loss in watch.evaluations],
    }


def trainable_bytes(directory) -> int:
    """Returns the size of the trainable variables in the graph of the last checkpoint."""
    import tensorflow as tf

    checkpoint = tf.train.latest_checkpoint(str(directory))
    with tf.Graph().as_default():
        tf.compat.v1.train.import_meta_graph(f"{checkpoint}.meta", clear_devices=True)
        return sum(
            variable.shape.num_elements() * variable.dtype.size
            for variable in tf.compat.v1.trainable_variables()
        )


def measured(way: str, args: argparse.Namespace) -> dict[str, Any]:
    """Runs `measure` for one way, in a separate process."""
    command = [sys.executable, __file__, "--way", way, "--steps", str(args.steps)]
    command += ["--config", str(args.config)]
    command += ["--workspace", str(args.workspace)] if args.workspace else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def summary(raw: dict[str, list[dict[str, Any]]], target: float) -> list[dict[str, Any]]:
    """Returns a row of medians for each way; ratios are of trainings in the same repetition."""
    rows = []
    for way, runs in raw.items():
        row: dict[str, Any] = {"way": way}
        for key in ("steps_per_s", "examples_per_s", "kb_per_step", "trainable_kb"):
            row[key] = statistics.median(run[key] for run in runs)
        pairs = zip(runs, raw[SINGLE])
        ratios = [run["steps_per_s"] / alone["steps_per_s"] for run, alone in pairs]
        row["steps_ratio"] = round(statistics.median(ratios), 3)
        row["cpu_ms_per_step"] = {
            role: statistics.median(run["cpu_ms_per_step"][role] for run in runs)
            for role in runs[0]["cpu_ms_per_step"]
        }
        reached = [
            next((at for at, loss in run["evaluations"] if loss <= target), math.inf)
            for run in runs
        ]
        median = statistics.median(reached)
        row["seconds_to_target"] = median if math.isfinite(median) else None
        row["best_loss"] = statistics.median(
            min(loss for _, loss in run["evaluations"]) for run in runs
        )
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]], target: float) -> None:
    """Prints the table of medians."""
    table = rich.table.Table(
        "",
        "steps/s",
        "of single",
        "examples/s",
        "KB/step",
        *(f"{r} ms" for r in (CHIEF, WORKER, SERVER)),
        f"s to loss {target:g}",
        "best loss",
    )
    for row in rows:
        costs = [row["cpu_ms_per_step"].get(role) for role in (CHIEF, WORKER, SERVER)]
        table.add_row(
            row["way"],
            f"{row['steps_per_s']:.1f}",
            f"{row['steps_ratio']:.2f}",
            f"{row['examples_per_s']:,.0f}",
            f"{row['kb_per_step']:,.0f}",
            *("" if cost is None else f"{cost:.1f}" for cost in costs),
            "never" if row["seconds_to_target"] is None else f"{row['seconds_to_target']:.1f}",
            f"{row['best_loss']:.4f}",
        )
    rich.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="data/king_county/pipeline.yaml", type=pathlib.Path)
    parser.add_argument("--workspace", type=pathlib.Path, help="workspace of a finished run")
    parser.add_argument("--steps", type=int, default=2000, help="steps of each training")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of each kind")
    parser.add_argument("--target", type=float, default=0.12, help="eval loss to reach")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.way:
        print(json.dumps(measure(args.way, args.config, args.workspace, args.steps)))
        return
    raw: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    for repetition in range(args.repetitions):
        # The order alternates, so that a machine that slows down favours no way.
        for way in list(WAYS)[:: 1 if repetition % 2 == 0 else -1]:
            raw[way].append(measured(way, args))
            speed = raw[way][-1]["steps_per_s"]
            print(f"{repetition + 1}/{args.repetitions} {way}: {speed} steps/s", flush=True)
    rows = summary(raw, args.target)
    show(rows, args.target)
    record.write(RESULTS, rows, target=args.target, repetitions=raw)


if __name__ == "__main__":
    main()
