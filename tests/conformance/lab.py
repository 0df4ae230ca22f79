"""Models that are trained and exported once and shared by the tests."""

import dataclasses
import functools
import json
import pathlib
import types
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np
import pytest
import rich_table
import tensorflow as tf
from rich_table import Transformed

from models.settings.training_settings import Model, Settings, Train
from models.toolbox.context import Context
from models.training import fitting, trainer
from models.training.problem import Problem
from models.zoo import registry

STEPS = 120
HALF = STEPS // 2
TRAIN = Train(max_steps=STEPS, batch_size=64, evaluate_every=HALF, cache_mb=64, seed=1)


@dataclasses.dataclass(frozen=True)
class Case:
    """A model to test, with parameters that make it small and quick to train."""

    id: str
    model: str
    params: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    @property
    def batch_norm(self) -> bool:
        return self.params.get("batch_norm", False)

    @property
    def dropout(self) -> bool:
        return self.params.get("dropout", 0.0) > 0.0


_SMALL = {"hidden": [32], "embedding": 4, "dropout": 0.1}
CASES = [
    Case("tabm", "tabm", {**_SMALL, "members": 4, "learning_rate": 0.01}),
    Case("mlp", "mlp", {**_SMALL, "learning_rate": 0.01}),
    Case("wide_deep", "wide_deep", _SMALL),
    Case("sequence", "sequence", {**_SMALL, "units": 8}),
    Case("premade.linear", "premade.linear"),
    Case("premade.dnn", "premade.dnn", {**_SMALL, "learning_rate": 0.02}),
    Case("premade.dnn_linear_combined", "premade.dnn_linear_combined", _SMALL),
    Case("keras.mlp", "keras.mlp", {**_SMALL, "learning_rate": 0.01}),
]
assert [case.model for case in CASES] == list(registry.MODELS)
WITH_BATCH_NORM = [
    dataclasses.replace(
        case, id=f"{case.id}-batch_norm", params={**case.params, "batch_norm": True}
    )
    for case in CASES
    if case.model in ("mlp", "keras.mlp")
]


def slow_but_for(quick: Collection[str], among: Iterable[Case]) -> list[Any]:
    """Returns test parameters for all cases, marked as slow unless their ids are in `quick`."""
    return [
        pytest.param(case, id=case.id, marks=[] if case.id in quick else pytest.mark.slow)
        for case in among
    ]


@dataclasses.dataclass(frozen=True)
class Run:
    """The result of training a model on a table as the Trainer does."""

    table: Transformed
    problem: Problem
    context: Context
    directory: pathlib.Path
    export: str

    @property
    def best(self) -> dict[str, Any]:
        """The record of the best checkpoint."""
        return json.loads((self.directory / "best" / "best.json").read_text())

    def estimator(self):
        """Returns a new Estimator of the model, in the directory of this run."""
        return fitting.make_estimator(self.problem, self.context, self.directory)

    @functools.cached_property
    def predictions(self) -> dict[str, np.ndarray]:
        """The Estimator's predictions for the eval rows, from the exported checkpoint."""
        checkpoint = str(self.directory / "best" / self.best["checkpoint"])
        rows = self.estimator().predict(self.problem.eval_input(), checkpoint_path=checkpoint)
        return in_order(self.table, list(rows))


def problem_of(table: Transformed, case: Case, **changes: Any) -> Problem:
    """Returns the Trainer's problem; `changes` replace values in `TRAIN`."""
    train = dataclasses.replace(TRAIN, **changes)
    return Problem(
        Settings(table.columns, Model(case.model, case.params), train, code="1"),
        table.schema,
        table.graph,
        tuple(table.train_files),
        tuple(table.eval_files),
    )


def train(table: Transformed, case: Case, folder: pathlib.Path, **changes: Any) -> Run:
    """Trains and exports as the Trainer does; see `problem_of`."""
    problem = problem_of(table, case, **changes)
    arguments = types.SimpleNamespace(
        train_files=table.train_files,
        eval_files=table.eval_files,
        schema_path=table.schema_path,
        transform_output=table.graph,
        serving_model_dir=str(folder / "model" / "Format-Serving"),
        model_run_dir=str(folder / "run"),
        custom_config={
            "problem": problem.settings.to_json(),
            "training_root": str(folder / "training"),
        },
    )
    (folder / "run").mkdir(parents=True)
    trainer.run_fn(arguments)
    (directory,) = (folder / "training").iterdir()
    return Run(table, problem, problem.context(), directory, arguments.serving_model_dir)


class Lab:
    """Cache of runs: trains each case on each table once."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._runs: dict[tuple[str, str], Run] = {}

    def __call__(self, table: Transformed, case: Case, **changes: Any) -> Run:
        key = (table.graph, case.id)
        if key not in self._runs:
            folder = self._folder / f"{len(self._runs)}-{case.id}"
            self._runs[key] = train(table, case, folder, **changes)
        return self._runs[key]


def in_order(table: Transformed, rows: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Returns rows of the transformed eval split by output, in the order of the raw rows.

    Beam may reorder rows. The first month identifies them, as Transform keeps its ranking.
    """
    files, spec = table.eval_files, table.output.transformed_feature_spec()
    transformed = rich_table.read(files, {"sequence_months": spec["sequence_months"]})
    raw = np.array([row["months"][0] for row in table.eval_rows])
    place = np.empty(len(raw), int)
    place[np.argsort(raw)] = np.argsort(transformed["sequence_months"][:, 0])
    return {name: np.array([rows[i][name] for i in place]) for name in rows[0]}


def examples(table: Transformed, rows: list[dict[str, Any]]) -> list[bytes]:
    """Returns requests: serialized rows without labels and weight."""
    hidden = {*table.columns.label_names, table.columns.weight}
    return [
        rich_table.example({name: value for name, value in row.items() if name not in hidden})
        for row in rows
    ]


def variables(directory: pathlib.Path, step: int) -> dict[str, np.ndarray]:
    """Reads the variables in a checkpoint."""
    reader = tf.train.load_checkpoint(str(directory / f"model.ckpt-{step}"))
    return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}


def summaries(directory: pathlib.Path) -> dict[str, list[tuple[int, float]]]:
    """Reads scalar summaries by tag, as (step, value) in the order they were written."""
    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(directory.glob("events.out.tfevents.*")):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found
