"""Trainings in separate processes, which the tests may kill, stop or damage."""

import contextlib
import dataclasses
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import forks
import pytest
import rich_table
from rich_table import Transformed

from models.settings.training_settings import Model, Replicas, Settings, Tasks, Train

CLUSTER = Tasks(max_restarts=3)
TRAIN = Train(max_steps=300, batch_size=16, evaluate_every=100, cache_mb=64, seed=1)
_REFUSING_PROXY = dict.fromkeys(["http_proxy", "grpc_proxy"], "http://127.0.0.1:9")
"""A proxy that refuses everything: the traffic between tasks must bypass it."""
_SCHEMA = "".join(
    f'feature {{ name: "{name}" type: FLOAT presence {{ min_fraction: 1 min_count: 1 }} '
    "shape { dim { size: 1 } } }\n"
    for name in ("area", "price")
)


def _rows(first: int, count: int) -> list[dict[str, float]]:
    """Returns rows with distinct prices."""
    return [{"area": float(i % 17), "price": float(i)} for i in range(first, first + count)]


@pytest.fixture(scope="session")
def table(once) -> Transformed:
    """Returns a table with one feature; the labels of the train split are 0 to 319."""
    return once("lined", _transformed)


def _transformed(folder: pathlib.Path) -> Transformed:
    return rich_table.transform(
        folder, _SCHEMA, {}, "price", "regression", _rows(0, 320), _rows(1000, 64)
    )


class Training:
    """A training in a separate process, run as the Trainer does.

    `crash` is the point where `tests.faults.crash` kills it; `wrapper` is a command that runs it.
    With either a wrapper or `fresh`, its interpreter is not forked but started.
    """

    def __init__(
        self,
        table: Transformed,
        folder: pathlib.Path,
        params: Mapping[str, Any] | None = None,
        cluster: Tasks | Replicas | None = CLUSTER,
        model: str = "tests.faults.lined_model.model_fn",
        command: Sequence[str] = ("tests.faults.trainer",),
        crash: str | None = None,
        wrapper: Sequence[str] = (),
        fresh: bool = False,
        **changes: Any,
    ):
        self.folder = folder
        train = dataclasses.replace(TRAIN, cluster=cluster, **changes)
        settings = Settings(table.columns, Model(model, params or {}), train, code="1")
        arguments = {
            "train_files": table.train_files,
            "eval_files": table.eval_files,
            "schema_path": table.schema_path,
            "transform_output": table.graph,
            "serving_model_dir": str(folder / "model" / "Format-Serving"),
            "model_run_dir": str(folder / "run"),
            "custom_config": {
                "problem": settings.to_json(),
                "training_root": str(folder / "training"),
            },
        }
        (folder / "run").mkdir(parents=True, exist_ok=True)
        file = folder / "arguments.json"
        file.write_text(json.dumps(arguments))
        crashing = ["-m", "tests.faults.crash", crash] if crash else ["-m"]
        self._out, self._err = folder / "out", folder / "err"
        program = [*crashing, command[0], str(file), *command[1:]]
        env = {**os.environ, **_REFUSING_PROXY}
        self.process: subprocess.Popen | forks.Process
        with self._out.open("wb") as out, self._err.open("ab") as err:
            if fresh or wrapper:
                self.process = subprocess.Popen(
                    [*wrapper, sys.executable, *program],
                    stdout=out,
                    stderr=err,
                    env=env,
                    start_new_session=True,
                )
            else:
                self.process = forks.Process(
                    program, forks.TRAINING, out, err, env, start_new_session=True
                )

    @property
    def directory(self) -> pathlib.Path:
        """The directory of the training."""
        (found,) = (self.folder / "training").iterdir()
        return found

    @property
    def record(self) -> dict[str, Any]:
        """The record that the Trainer wrote."""
        return json.loads((self.folder / "run" / "training.json").read_text())

    @property
    def export(self) -> pathlib.Path:
        return self.folder / "model" / "Format-Serving"

    @property
    def errors(self) -> str:
        """Everything written to stderr."""
        return self._err.read_text()

    @property
    def said(self) -> list[str]:
        """The lines of progress on stdout."""
        return self._out.read_text().splitlines()

    def task(self, name: str) -> int:
        """Returns the process id of a task such as `worker-0`; 0 if it is not running."""
        role, _, index = name.partition("-")
        wanted = {"type": role, "index": int(index or 0)}
        for pid in tasks(self.folder):
            with contextlib.suppress(OSError):
                variables = pathlib.Path(f"/proc/{pid}/environ").read_text().split("\0")
                # A process that has just started may not have the variable yet.
                found = [v.partition("=")[2] for v in variables if v.startswith("TF_CONFIG=")]
                if found and json.loads(found[0])["task"] == wanted:
                    return pid
        return 0

    def has_checkpoint(self, step: int) -> bool:
        """Returns whether there is a checkpoint of the step or a later one."""
        steps = [int(p.stem.rpartition("-")[2]) for p in self.folder.rglob("model.ckpt-*.index")]
        return max(steps, default=-1) >= step

    def wait_for(self, condition: Callable[[], Any], seconds: float = 240.0) -> Any:
        """Polls until the condition holds and returns its value; fails if the training ends."""
        deadline = time.monotonic() + seconds
        while not (found := condition()):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.05)
                raise AssertionError(f"the training ended before: {self.errors[-3000:]}")
            assert time.monotonic() < deadline, f"waited for {seconds} s: {self.errors[-3000:]}"
        return found

    def end(self, seconds: float = 300.0) -> int:
        """Waits for the training to end; returns its exit code."""
        return self.process.wait(timeout=seconds)


def tasks(folder: pathlib.Path) -> list[int]:
    """Returns the ids of all task processes whose training is below a folder."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_text()
            if "models.programs.cluster_task" in command and str(folder) in command:
                found.append(int(process.name))
    return found


def wait_until_gone(folder: pathlib.Path, seconds: float = 10.0) -> None:
    """Waits until no task process of a training below the folder is left."""
    deadline = time.monotonic() + seconds
    while found := tasks(folder):
        assert time.monotonic() < deadline, f"still there: {found}"
        os.sched_yield()


@pytest.fixture
def train(table, tmp_path) -> Iterator[Callable[..., Training]]:
    """Yields a function that starts trainings in the test's folder; kills them at the end."""
    started: list[Training] = []

    def start(folder: pathlib.Path = tmp_path, **settings: Any) -> Training:
        started.append(Training(table, folder, **settings))
        return started[-1]

    yield start
    for training in started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(training.process.pid, signal.SIGKILL)
        training.process.wait()
    wait_until_gone(tmp_path)
