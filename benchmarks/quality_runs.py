"""Runs of the quality benchmark: our models in the real pipeline, references on its examples."""

import json
import pathlib
import shutil
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from benchmarks import tables
from pipeline.config import config_file
from pipeline.config.configuration import Config
from pipeline.config.problem_settings import column_settings
from pipeline.console.node_progress import Progress
from pipeline.storage.workspace import Workspace

_HIGHER_IS_BETTER = {"auc": "1-auc", "accuracy": "1-accuracy"}
_METRICS = {
    "regression": ("rmse", "rmsle", "mae"),
    "binary": ("1-auc", "1-accuracy", "log_loss"),
}


class DatasetRuns:
    """A dataset with a seed: its table, its workspace and the runs in it."""

    def __init__(self, dataset: str, seed: int, root: pathlib.Path):
        self.dataset = dataset
        self.seed = seed
        self.file = tables.DATASETS[dataset].config
        self.task = config_file.load(self.file).task
        self._folder = root / dataset
        self._workspace = Workspace(self._folder / f"seed-{seed}" / "workspace")
        self._table: list[str] = []
        self._data: Any = None

    def model(self, name: str, settings: Sequence[str] = ()) -> dict[str, Any]:
        """Runs a model through the pipeline.

        Args:
            name: name of the model, or `MODEL@PRESET` with a preset of the configuration.
            settings: further settings of the configuration, as `key=value`.

        Returns:
            `scores`, `train_seconds`, `steps_per_second`, `note` and `rows`.
        """
        from components import artifact_names
        from models.training.trainer import RECORD

        outputs = self._run(self._config(name, settings))

        result = json.loads(
            (outputs["Evaluator"]["evaluation"] / artifact_names.VERDICT_FILE).read_text()
        )
        run = outputs["Trainer"]["model_run"]
        training = json.loads((run / RECORD).read_text())
        return {
            "scores": _lower_is_better(result["metrics"]["overall"], _METRICS[self.task]),
            "train_seconds": training["seconds"],
            "steps_per_second": _steps_per_second(run),
            "note": f"best at step {training['best']['step']} of {training['max_steps']}",
            "rows": result["examples"],
        }

    def reference(self, name: str, threads: int) -> dict[str, Any]:
        """Fits a reference; returns what `model` does, but for `steps_per_second`."""
        from benchmarks import references

        self._data = self._data or self._read_data()
        result = references.REFERENCES[name](self._data, self.seed, threads)
        return {
            "scores": result.scores,
            "train_seconds": round(result.train_seconds, 2),
            "note": result.note,
            "rows": len(self._data.labels["test"]),
        }

    def _config(self, name: str | None, settings: Sequence[str] = ()) -> Config:
        self._table = self._table or tables.for_seed(self.dataset, self.seed, self._folder)
        return self.configured(self._table, name, settings)

    def configured(
        self, table: Sequence[str], name: str | None = None, settings: Sequence[str] = ()
    ) -> Config:
        """Loads the configuration of a model on this dataset and seed.

        Args:
            table: settings that point it at the table, see `tables.settings`.
            name: see `model`; by default, the configuration's own model.
            settings: see `model`.
        """
        # Without gates no model is blessed, so each is evaluated without a baseline.
        fixed = [f"train.seed={self.seed}", "gates=never", "slices=[]"]
        model, _, preset = (name or "").partition("@")
        default_model = config_file.load(self.file, preset=preset or None).model.name
        # The configuration's own model is not overridden, and so keeps its parameters.
        choice = [f"model={model}"] if model not in ("", default_model) else []
        overrides = [*table, *fixed, *choice, *settings]
        return config_file.load(self.file, overrides, preset or None)

    def _run(self, config: Config, last: str | None = None):
        """Runs the pipeline; returns the outputs of each node by key."""
        from pipeline.beam import dag_runner
        from pipeline.graph import arguments
        from pipeline.graph.pipeline import create_pipeline

        pipeline = create_pipeline(config, arguments.of_workspace(config, self._workspace), last)
        progress = Progress(Console(file=sys.stdout), [node.id for node in pipeline.components])
        with self._workspace.locked():
            # Resuming an interrupted training would make its time look too short.
            shutil.rmtree(self._workspace.training, ignore_errors=True)
            executions = dag_runner.run(pipeline, progress)
            shutil.rmtree(self._workspace.training, ignore_errors=True)
        return {node: self._outputs(execution) for node, execution in executions.items()}

    def _outputs(self, execution: int) -> dict[str, pathlib.Path]:
        from tfx.orchestration import metadata
        from tfx.orchestration.portable.mlmd import execution_lib

        config = metadata.sqlite_metadata_connection_config(str(self._workspace.metadata))
        with metadata.Metadata(config) as store:
            outputs = execution_lib.get_output_artifacts(store, execution)
        return {key: pathlib.Path(artifacts[0].uri) for key, artifacts in outputs.items()}

    def _read_data(self):
        """Runs the pipeline up to Transform, and reads the examples for the references."""
        import tensorflow_transform as tft
        from google.protobuf import text_format
        from tensorflow_metadata.proto.v0 import schema_pb2

        from benchmarks import reference_data
        from models.features import features, label_statistics

        config = self._config(None)
        outputs = self._run(config, last="Transform")
        (examples,) = [out["examples"] for node, out in outputs.items() if "ExampleGen" in node]
        graph = outputs["Transform"]["transform_graph"]
        schema = text_format.Parse(
            (graph / "metadata" / "schema.pbtxt").read_text(), schema_pb2.Schema()
        )
        settings = column_settings(config)
        return reference_data.read(
            {split: _files(examples, split) for split in reference_data.SPLITS},
            schema,
            features.resolve(schema, settings),
            label_statistics.from_transform(
                settings.labels[0],
                0,
                tft.TFTransformOutput(str(graph)),
                _files(outputs["Transform"]["transformed_examples"], "train"),
            ),
        )


def _files(examples: pathlib.Path, split: str) -> list[str]:
    return sorted(map(str, (examples / f"Split-{split}").iterdir()))


def _lower_is_better(values: dict[str, float], names: Sequence[str]) -> dict[str, float]:
    lower = {_HIGHER_IS_BETTER.get(name, name): value for name, value in values.items()}
    for name in _HIGHER_IS_BETTER.values():
        if name in lower:
            lower[name] = 1 - lower[name]
    return {name: lower[name] for name in names}


def _steps_per_second(summaries: pathlib.Path) -> float | None:
    """Returns the median speed in the Estimator's summaries; None after a short training."""
    import tensorflow as tf

    speeds = [
        value.simple_value
        for file in summaries.rglob("events.out.tfevents.*")
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
        if value.tag == "global_step/sec"
    ]
    return round(statistics.median(speeds), 1) if speeds else None
