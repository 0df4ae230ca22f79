"""The Trainer's `run_fn`: trains, evaluates and exports an Estimator of any `model_fn`."""

import hashlib
import json
import math
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from absl import logging
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from models import estimator_api, inputs, registry
from models import features as features_lib
from models import label as label_lib
from models.context import Context
from models.params import CONTEXT
from models.preprocessing import Layout, vocabulary_name


def run_fn(fn_args) -> None:
    """Trains, evaluates, and exports the best checkpoint to `fn_args.serving_model_dir`.

    Checkpoints go to a directory below `training_root` which is named by all that determines the
    result, so that a run which was killed continues where it stopped when it is started again, and
    never from a checkpoint of something else.

    Args:
        fn_args: the Trainer's `FnArgs`. `custom_config["problem"]` is a JSON object with `label`,
            `task`, `log_label`, `features`, `model`, `train`, `code` (a fingerprint) and
            `training_root`.

    Raises:
        ValueError: what the features, the label or the model's parameters do not allow.
    """
    problem = json.loads(fn_args.custom_config["problem"])
    train = problem["train"]
    train_files = _files(fn_args.train_files)
    eval_files = _files(fn_args.eval_files)
    schema = text_format.Parse(pathlib.Path(fn_args.schema_path).read_text(), schema_pb2.Schema())
    features = features_lib.resolve(schema, problem["features"], problem["label"])
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    label = label_lib.from_transform(
        problem["label"], problem["task"], problem["log_label"], transform_output, train_files
    )
    max_steps = train["max_steps"] or _steps(train["epochs"], train_files, train["batch_size"])
    context = Context(
        label=label,
        layout=Layout.of(features),
        vocabulary_sizes=tuple(
            _vocabulary_size(transform_output, feature)
            for feature in features
            if feature.kind == features_lib.CATEGORICAL
        ),
        max_steps=max_steps,
    )

    directory = _training_directory(problem, fn_args.transform_output, train_files + eval_files)
    logging.info("Training directory: %s", directory)
    estimator = estimator_api.Estimator(
        model_fn=registry.load(problem["model"]["name"]),
        model_dir=str(directory),
        params={**problem["model"]["params"], CONTEXT: context},
        config=estimator_api.RunConfig(
            tf_random_seed=train["seed"],
            save_checkpoints_steps=train["evaluate_every"],
            keep_checkpoint_max=train["keep_checkpoints"],
            save_summary_steps=100,
            log_step_count_steps=500,
        ),
    )
    eval_input = inputs.input_fn(eval_files, transform_output, 4096, training=False, cache_bytes=0)
    best = BestCheckpoint(directory / "best")
    found = estimator.latest_checkpoint()
    estimator_api.train_and_evaluate(
        estimator,
        estimator_api.TrainSpec(
            inputs.input_fn(
                train_files,
                transform_output,
                train["batch_size"],
                training=True,
                cache_bytes=train["cache_mb"] << 20,
                seed=train["seed"],
            ),
            max_steps=max_steps,
            hooks=_early_stopping(estimator, train),
        ),
        estimator_api.EvalSpec(
            eval_input, steps=None, exporters=[best], start_delay_secs=0, throttle_secs=0
        ),
    )
    if estimator.latest_checkpoint() == found:
        # A run that was killed while it evaluated its last step has nothing left to train, and
        # without a new checkpoint train_and_evaluate evaluates nothing.
        best.export(estimator, None, found, estimator.evaluate(eval_input), True)
    _export(
        estimator,
        best.checkpoint(),
        inputs.serving_input_receiver_fn(schema, features, transform_output),
        pathlib.Path(fn_args.serving_model_dir),
        directory,
        {
            features_lib.FILE_NAME: features_lib.signature(schema, features),
            label_lib.FILE_NAME: label.to_json(),
        },
    )
    _copy_summaries(directory, pathlib.Path(fn_args.model_run_dir))


class BestCheckpoint(estimator_api.Exporter):
    """Keeps the checkpoint with the lowest eval loss, apart from those that rotate.

    An exporter is called after each evaluation. Copying a checkpoint takes milliseconds where an
    export takes seconds, so the SavedModel is made once, at the end.
    """

    name = "best"

    def __init__(self, directory: pathlib.Path):
        self._directory = directory
        self._record = directory / "best.json"

    def export(self, estimator, export_path, checkpoint_path, eval_result, is_the_final_export):
        """Copies `checkpoint_path` if its loss is the lowest so far."""
        loss = float(eval_result["loss"])
        if not math.isfinite(loss):
            return
        if self._record.exists() and json.loads(self._record.read_text())["loss"] <= loss:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        source = pathlib.Path(checkpoint_path)
        for file in source.parent.glob(f"{source.name}.*"):
            shutil.copy2(file, self._directory)
        record = {
            "checkpoint": source.name,
            "step": int(eval_result["global_step"]),
            "loss": loss,
            "metrics": {name: float(value) for name, value in eval_result.items()},
        }
        # The record is what makes the copy count; it changes in one step.
        beside = self._record.with_suffix(".partial")
        beside.write_text(json.dumps(record, indent=2))
        beside.replace(self._record)
        for file in self._directory.glob("model.ckpt-*"):
            if not file.name.startswith(f"{source.name}."):
                file.unlink()

    def checkpoint(self) -> str:
        """Path of the best checkpoint.

        Raises:
            ValueError: no evaluation gave a finite loss.
        """
        if not self._record.exists():
            raise ValueError(
                "no evaluation gave a finite loss: lower model.params.learning_rate, or look for "
                "extreme values in the label"
            )
        return str(self._directory / json.loads(self._record.read_text())["checkpoint"])


def _early_stopping(estimator, train: Mapping[str, Any]) -> list:
    if not train["early_stopping"]:
        return []
    return [
        estimator_api.stop_if_no_decrease_hook(
            estimator,
            metric_name="loss",
            max_steps_without_decrease=train["early_stopping"]["patience"],
            run_every_secs=None,
            run_every_steps=train["evaluate_every"],
        )
    ]


def _export(
    estimator,
    checkpoint: str,
    receiver_fn,
    destination: pathlib.Path,
    directory: pathlib.Path,
    extra: Mapping[str, str],
) -> None:
    """Exports to `destination` itself, not to a timestamp below it: exactly one export is there."""
    extra_files = {}
    for name, text in extra.items():
        path = directory / name
        path.write_text(text)
        extra_files[name] = str(path)
    exported = estimator.export_saved_model(
        str(directory / "export"), receiver_fn, assets_extra=extra_files, checkpoint_path=checkpoint
    )
    shutil.rmtree(destination, ignore_errors=True)
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(exported.decode(), destination)


def _copy_summaries(directory: pathlib.Path, run: pathlib.Path) -> None:
    """Puts the summaries into the run's artifact; the checkpoints stay in the directory."""
    for events in directory.rglob("events.out.tfevents.*"):
        target = run / events.relative_to(directory)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(events, target)


def _files(patterns: Sequence[str]) -> list[str]:
    return sorted(file for pattern in patterns for file in tf.io.gfile.glob(pattern))


def _steps(epochs: int, files: Sequence[str], batch_size: int) -> int:
    return max(epochs * inputs.count_rows(files) // batch_size, 1)


def _vocabulary_size(transform_output: tft.TFTransformOutput, feature: features_lib.Feature) -> int:
    size = transform_output.vocabulary_size_by_name(vocabulary_name(feature.name))
    return int(size) + feature.oov_buckets


def _training_directory(
    problem: Mapping[str, Any], transform_graph: str, files: Sequence[str]
) -> pathlib.Path:
    """A directory named by the configuration, the code, the transform graph and the data."""
    # Where the directory is does not determine the result.
    settings = {key: value for key, value in problem.items() if key != "training_root"}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    graph = pathlib.Path(transform_graph)
    for path in [*sorted(p for p in graph.rglob("*") if p.is_file()), *map(pathlib.Path, files)]:
        digest.update(str(path.name).encode())
        with open(path, "rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return pathlib.Path(problem["training_root"]) / digest.hexdigest()[:16]
