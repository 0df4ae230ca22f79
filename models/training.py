"""The Trainer's `run_fn`: trains, evaluates and exports an Estimator of any model."""

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from absl import logging
from etils import epath
from tfx.utils import io_utils

from models import estimator_api, intervals, registry
from models import features as features_lib
from models import label as label_lib
from models.context import Context
from models.params import CONTEXT
from models.problem import Problem

RECORD = "training.json"
"""In the model run's artifact: what the training was and cost."""

IDENTITY = "identity.json"
"""In an export's `assets.extra`: the training and the checkpoint that it was made of."""


def run_fn(fn_args) -> None:
    """Trains, evaluates, and exports the best checkpoint to `fn_args.serving_model_dir`.

    Checkpoints go to a directory below `training_root` which is named by all that determines the
    result, so that a run which was killed continues where it stopped when it is started again, and
    never from a checkpoint of something else.

    Args:
        fn_args: the Trainer's `FnArgs`; `custom_config` has `problem` (see `Problem`) and
            `training_root`. `hyperparameters`, if there are any, replace the configuration's.

    Raises:
        ValueError: what the features, the labels or the model's parameters do not allow.
    """
    problem = Problem.of(fn_args)
    context = problem.context()
    directory = epath.Path(fn_args.custom_config["training_root"]) / problem.fingerprint()
    logging.info("Training directory: %s", directory)
    started = time.monotonic()
    best = fit(problem, context, directory)
    seconds = time.monotonic() - started

    checkpoint = best.checkpoint()
    context = intervals.calibrated(
        make_estimator(problem, context, directory), context, checkpoint, problem.eval_input()
    )
    _export(
        make_estimator(problem, context, directory),
        checkpoint,
        problem.serving_input(),
        epath.Path(fn_args.serving_model_dir),
        {
            features_lib.FILE_NAME: features_lib.signature(problem.schema, problem.features),
            label_lib.FILE_NAME: label_lib.to_json(context.labels),
            IDENTITY: json.dumps(
                {"training": directory.name, "checkpoint": best.record()["checkpoint"]}
            ),
        },
    )
    run = epath.Path(fn_args.model_run_dir)
    _copy_summaries(directory, run)
    record = {
        "model": problem.settings["model"],
        "train": problem.settings["train"],
        "rows": context.rows,
        "max_steps": context.max_steps,
        "seconds": round(seconds, 2),
        "best": best.record(),
    }
    (run / RECORD).write_text(json.dumps(record, indent=2))


def make_estimator(problem: Problem, context: Context, directory: epath.Path):
    """The Estimator of the problem's model, with its checkpoints in a directory."""
    model, train = problem.settings["model"], problem.settings["train"]
    return registry.estimator(
        model["name"],
        {**model["params"], CONTEXT: context},
        estimator_api.RunConfig(
            model_dir=str(directory),
            tf_random_seed=train["seed"],
            save_checkpoints_steps=train["evaluate_every"],
            keep_checkpoint_max=train["keep_checkpoints"],
            save_summary_steps=100,
            log_step_count_steps=500,
        ),
    )


def fit(
    problem: Problem,
    context: Context,
    directory: epath.Path,
    on_evaluation: Callable[[int, Mapping[str, float]], None] | None = None,
) -> "BestCheckpoint":
    """Trains to the end, from the last checkpoint in the directory if there is one.

    Args:
        problem: what to train.
        context: the problem's.
        directory: of checkpoints and summaries.
        on_evaluation: called after each evaluation with its step and metrics; what it raises ends
            the training.

    Returns:
        The best checkpoint.
    """
    estimator = make_estimator(problem, context, directory)
    best = BestCheckpoint(directory / "best", on_evaluation)
    found = estimator.latest_checkpoint()
    estimator_api.train_and_evaluate(
        estimator,
        estimator_api.TrainSpec(
            problem.train_input(context.rows, _step_of(found)),
            max_steps=context.max_steps,
            hooks=_early_stopping(estimator, problem.settings["train"]),
        ),
        estimator_api.EvalSpec(
            problem.eval_input(), steps=None, exporters=[best], start_delay_secs=0, throttle_secs=0
        ),
    )
    if estimator.latest_checkpoint() == found:
        # A run that was killed while it evaluated its last step has nothing left to train, and
        # without a new checkpoint train_and_evaluate evaluates nothing.
        best.export(estimator, None, found, estimator.evaluate(problem.eval_input()), True)
    return best


class BestCheckpoint(estimator_api.Exporter):
    """Keeps the checkpoint with the lowest eval loss, apart from those that rotate.

    An exporter is called after each evaluation. Copying a checkpoint takes milliseconds where an
    export takes seconds, so the SavedModel is made once, at the end.
    """

    name = "best"

    def __init__(
        self,
        directory: epath.Path,
        on_evaluation: Callable[[int, Mapping[str, float]], None] | None = None,
    ):
        self._directory = directory
        self._record = directory / "best.json"
        self._on_evaluation = on_evaluation

    def export(self, estimator, export_path, checkpoint_path, eval_result, is_the_final_export):
        """Copies `checkpoint_path` if its loss is the lowest so far."""
        self._keep_if_best(checkpoint_path, eval_result)
        if self._on_evaluation:
            metrics = {name: float(value) for name, value in eval_result.items()}
            self._on_evaluation(int(eval_result["global_step"]), metrics)

    def _keep_if_best(self, checkpoint_path, eval_result) -> None:
        loss = float(eval_result["loss"])
        if not math.isfinite(loss):
            return
        if self._record.exists() and json.loads(self._record.read_text())["loss"] <= loss:
            return
        self._directory.mkdir(parents=True, exist_ok=True)
        source = epath.Path(checkpoint_path)
        for file in source.parent.glob(f"{source.name}.*"):
            file.copy(self._directory / file.name, overwrite=True)
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
        return str(self._directory / self.record()["checkpoint"])

    def record(self) -> dict[str, Any]:
        """The best checkpoint's name, step, loss and metrics.

        Raises:
            ValueError: no evaluation gave a finite loss.
        """
        if not self._record.exists():
            raise ValueError(
                "no evaluation gave a finite loss: lower model.params.learning_rate, or look for "
                "extreme values in the label"
            )
        return json.loads(self._record.read_text())


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


def _step_of(checkpoint: str | None) -> int:
    return int(checkpoint.rpartition("-")[2]) if checkpoint else 0


def _export(
    estimator,
    checkpoint: str,
    receiver_fn: Callable,
    destination: epath.Path,
    extra: Mapping[str, str],
) -> None:
    """Exports to `destination` itself, not to a timestamp below it: exactly one export is there."""
    directory = epath.Path(estimator.model_dir)
    extra_files = {}
    for name, text in extra.items():
        path = directory / name
        path.write_text(text)
        extra_files[name] = str(path)
    exported = estimator.export_saved_model(
        str(directory / "export"), receiver_fn, assets_extra=extra_files, checkpoint_path=checkpoint
    )
    io_utils.copy_dir(exported.decode(), str(destination))
    epath.Path(exported.decode()).rmtree()


def _copy_summaries(directory: epath.Path, run: epath.Path) -> None:
    """Puts the summaries into the run's artifact; the checkpoints stay in the directory."""
    for folder, _, names in directory.walk():
        target = run / folder.relative_to(directory)
        for name in names:
            if name.startswith("events.out.tfevents."):
                target.mkdir(parents=True, exist_ok=True)
                (folder / name).copy(target / name, overwrite=True)
