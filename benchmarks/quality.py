"""Quality of our models compared with references, on several tables and splits of each.

    python benchmarks/quality.py --seeds 5
    python benchmarks/quality.py --untuned --models tabm --seeds 2
    python benchmarks/quality.py --datasets ames --models tabm --set model.params.dropout=0.2

Each seed gives another split of the table (see `tables.py`) and seeds everything random. Our models
run through the real pipeline, in one workspace per dataset and seed, and its Evaluator scores the
exported model; the references (see `references.py`) are fitted on the examples that the pipeline's
ExampleGen wrote. All are fitted on train, tuned on eval and scored on test.

Lower is better in every column; differences to the best reference are paired by seed. Training
seconds of our models include evaluations during training; those of a tuned reference are for the
selected fit only.

Finished repetitions are kept in `benchmarks/results/quality.json` and skipped, unless `--fresh` is
given. A model with other settings (`--set`), or with a preset of the configuration (`tabm@NAME`),
counts as another model.
"""

import argparse
import json
import os
import pathlib
import shlex
import shutil
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from rich.console import Console
from rich.table import Table

from benchmarks import tables
from benchmarks.record import Record
from models.errors import UserError
from pipeline.config import config_file
from pipeline.config.configuration import Config
from pipeline.config.problem_settings import column_settings
from pipeline.console import terminal
from pipeline.console.node_progress import Progress
from pipeline.graph import fingerprint
from pipeline.storage.workspace import Workspace

RESULTS = pathlib.Path(__file__).with_name("results") / "quality.json"
MODELS = ("tabm", "mlp", "wide_deep")
REFERENCES = (
    "constant",
    "linear",
    "lightgbm default",
    "lightgbm tuned",
    "catboost default",
    "catboost tuned",
)
_HIGHER_IS_BETTER = {"auc": "1-auc", "accuracy": "1-accuracy"}
_METRICS = {
    "regression": ("rmse", "rmsle", "mae"),
    "binary": ("1-auc", "1-accuracy", "log_loss"),
}


class Problem:
    """A dataset with a seed: its table, its workspace and the runs in it."""

    def __init__(self, dataset: str, seed: int, root: pathlib.Path):
        self.dataset = dataset
        self.seed = seed
        self.file = tables.DATASETS[dataset].config
        self.task = config_file.load(self.file).task
        self._folder = root / dataset
        self._workspace = Workspace(self._folder / f"seed-{seed}" / "workspace")
        self._table: list[str] = []
        self._examples: Any = None

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
            "steps_per_second": steps_per_second(run),
            "note": f"best at step {training['best']['step']} of {training['max_steps']}",
            "rows": result["examples"],
        }

    def reference(self, name: str, threads: int) -> dict[str, Any]:
        """Fits a reference; returns what `model` does, but for `steps_per_second`."""
        from benchmarks import references

        self._examples = self._examples or self._read_examples()
        result = references.REFERENCES[name](self._examples, self.seed, threads)
        return {
            "scores": result.scores,
            "train_seconds": round(result.train_seconds, 2),
            "note": result.note,
            "rows": len(self._examples.labels["test"]),
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

    def _read_examples(self):
        """Runs the pipeline up to Transform, and reads the examples for the references."""
        import tensorflow_transform as tft
        from google.protobuf import text_format
        from tensorflow_metadata.proto.v0 import schema_pb2

        from benchmarks import references
        from models.features import features, label

        config = self._config(None)
        outputs = self._run(config, last="Transform")
        (examples,) = [out["examples"] for node, out in outputs.items() if "ExampleGen" in node]
        graph = outputs["Transform"]["transform_graph"]
        schema = text_format.Parse(
            (graph / "metadata" / "schema.pbtxt").read_text(), schema_pb2.Schema()
        )
        settings = column_settings(config)
        return references.read(
            {split: _files(examples, split) for split in references.SPLITS},
            schema,
            features.resolve(schema, settings),
            label.from_transform(
                settings.labels[0],
                0,
                tft.TFTransformOutput(str(graph)),
                _files(outputs["Transform"]["transformed_examples"], "train"),
            ),
        )


def _files(examples: pathlib.Path, split: str) -> list[str]:
    return sorted(map(str, (examples / f"Split-{split}").iterdir()))


def _lower_is_better(values: dict[str, float], names: Sequence[str]) -> dict[str, float]:
    turned = {_HIGHER_IS_BETTER.get(name, name): value for name, value in values.items()}
    for name in _HIGHER_IS_BETTER.values():
        if name in turned:
            turned[name] = 1 - turned[name]
    return {name: turned[name] for name in names}


def steps_per_second(summaries: pathlib.Path) -> float | None:
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


# --- the table -----------------------------------------------------------------------------------


def show(console: Console, record: Record, dataset: str) -> None:
    """Prints the table of a dataset."""
    rows = {(r["model"], r["metric"]): r for r in record.summary() if r["dataset"] == dataset}
    paired = {(r["model"], r["metric"]): r for r in record.differences() if r["dataset"] == dataset}
    metrics = list(dict.fromkeys(metric for _, metric in rows))
    names = list(dict.fromkeys(model for model, _ in rows))
    table = Table(title=f"{dataset}: mean ± standard deviation over seeds; lower is better")
    table.add_column("model", no_wrap=True)
    for heading in (*metrics, "seeds", "train s", "steps/s"):
        table.add_column(heading, justify="right")
    for name in sorted(names, key=lambda name: (*REFERENCES, name).index(name)):
        cells = [rows[name, metric] for metric in metrics]
        (*_, last) = cells
        table.add_row(
            name,
            *(_with_spread(cell["value"], cell["std"], _number) for cell in cells),
            str(last["seeds"]),
            *("–" if last[k] is None else f"{last[k]:,.1f}" for k in _SPEEDS),
        )
    table.add_section()
    for name in dict.fromkeys(model for model, _ in paired):
        cells = [paired[name, metric] for metric in metrics]
        table.add_row(
            f"{name} against\nthe best reference",
            *(
                f"{_with_spread(cell['difference'], cell['std'], '{:+.1%}'.format)}\n"
                f"{cell['reference']}\nbetter on {cell['better']} of {cell['seeds']}"
                for cell in cells
            ),
        )
    console.print(table)


_SPEEDS = ("train_seconds", "steps_per_second")


def _with_spread(value: float, spread: float | None, shown: Callable[[float], str]) -> str:
    return shown(value) + (f" ± {shown(spread).lstrip('+')}" if spread is not None else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.4f}"


# --- the command ---------------------------------------------------------------------------------


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--datasets",
        nargs="+",
        choices=tables.DATASETS,
        default=list(tables.TUNED),
        help="default: those with configurations of their own, " + ", ".join(tables.TUNED),
    )
    add(
        "--untuned",
        dest="datasets",
        action="store_const",
        const=list(tables.UNTUNED),
        help="the tables that nothing was tuned on, with defaults alone",
    )
    add("--models", nargs="*", default=list(MODELS), help=f"default: {' '.join(MODELS)}")
    add(
        "--references", nargs="*", choices=REFERENCES, default=list(REFERENCES), help="default: all"
    )
    add("--seeds", type=int, default=5, help="splits of each table (default: 5)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="overrides a key of every dataset's configuration, for our models",
    )
    add("--fresh", action="store_true", help="run again what the record has of these")
    add("--threads", type=int, default=os.cpu_count(), help="of the references (default: all)")
    add(
        "--workspace",
        type=pathlib.Path,
        default=tables.REPOSITORY / "workspace" / "quality",
        help="what the runs make (default: workspace/quality)",
    )
    add("--output", type=pathlib.Path, default=RESULTS, help="the record (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f"--seeds must be 1 or more, not {args.seeds}")
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the repetitions that are not finished, and prints the tables."""
    args = parse_args(argv)
    arguments = sys.argv[1:] if argv is None else list(argv)
    record = Record(
        args.output, shlex.join(["python", "benchmarks/quality.py", *arguments]), REFERENCES
    )
    ours = {" ".join([model, *args.set]): model for model in args.models}
    if args.fresh:
        record.remove(args.datasets, [*ours, *args.references])
    root = args.workspace.resolve()
    for dataset in args.datasets:
        tables.source(dataset, root / dataset)  # report a missing table now, not after hours
    log = Workspace(root).new_log("quality")
    failures = 0
    with terminal.logging_to(log) as console:
        if not console.is_terminal:
            console.width = 120
        console.print(f"log: {log}", soft_wrap=True, highlight=False)
        code = fingerprint.of_modules("models", "components", "pipeline", "benchmarks")
        for seed in range(args.seeds):
            for dataset in args.datasets:
                problem = Problem(dataset, seed, root)
                for name in (*ours, *args.references):
                    if record.find(dataset, name, seed):
                        continue
                    began = time.monotonic()
                    try:
                        if name in ours:
                            result = problem.model(ours[name], args.set)
                        else:
                            result = problem.reference(name, args.threads)
                    except UserError:
                        raise
                    except Exception as error:
                        failures += 1
                        traceback.print_exc()
                        reason = next(iter(str(error).splitlines()), "")
                        text = f"{dataset} {seed} {name}: {type(error).__name__}: {reason}"
                        console.print(text, soft_wrap=True, highlight=False)
                        continue
                    key = {"dataset": dataset, "model": name, "seed": seed, "code": code}
                    record.add({**key, **result})
                    scores = ", ".join(f"{k} {_number(v)}" for k, v in result["scores"].items())
                    seconds = time.monotonic() - began
                    text = f"{dataset} {seed} {name}: {scores} ({seconds:.0f} s)"
                    console.print(text, soft_wrap=True, highlight=False)
        for dataset in args.datasets:
            show(console, record, dataset)
        if len({r["code"] for r in record.repetitions}) > 1:
            console.print("Some of these were measured with other code; --fresh measures again.")
        console.print(f"record: {args.output}", soft_wrap=True, highlight=False)
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UserError as mistake:
        print(mistake, file=sys.stderr)
        sys.exit(2)
