"""The Trainer's `run_fn`, which trains, evaluates and exports an Estimator of any model."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from absl import logging
from etils import epath

from models import estimator_api
from models.diagnostics import full_disk, graph_checks
from models.distributed import launchers, layout
from models.errors import UserError
from models.features import export_inputs
from models.features import features as features_lib
from models.features import label as label_lib
from models.processes import no_proxy
from models.progress import observer
from models.progress.training_progress import EventCallback, Progress
from models.toolbox import intervals
from models.toolbox.context import Context
from models.training import checkpoints, evaluator_task, export, export_manifest, fitting
from models.training.best_checkpoint import BestCheckpoint
from models.training.problem import Problem
from models.zoo import registry

RECORD = "training.json"
"""Name of the file in the model run's artifact that describes the training."""


def run_fn(fn_args) -> None:
    """Trains, evaluates, and exports the best checkpoint to `fn_args.serving_model_dir`.

    Checkpoints go to a directory below `training_root`, named by a fingerprint of everything that
    determines the result. A killed run therefore resumes where it stopped when started again, and
    never from a checkpoint of a different training.

    If an operator (such as Vertex AI) starts this process as one task of a cluster, as described by
    `TF_CONFIG`, it does that task's part; only the chief exports.

    Args:
        fn_args: the Trainer's `FnArgs`; `custom_config` has `problem` (see `Problem`) and
            `training_root`. If given, `hyperparameters` override the configuration's.

    Raises:
        UserError: the features, the labels or the model's parameters are invalid, or `TF_CONFIG`
            does not describe a cluster.
        ModelError: there is a mistake in a user's model.
        DiskFull: the disk has no room for the training's files.
    """
    problem = Problem.of(fn_args)
    directory = epath.Path(fn_args.custom_config["training_root"]) / problem.fingerprint()
    logging.info("Training directory: %s", directory)
    with fitting.model_errors_located(problem), full_disk.explained(directory):
        if cluster := layout.in_environment():
            no_proxy.exempt(cluster.hosts)
            _run_as_task(problem, directory, fn_args, estimator_api.RunConfig().is_chief)
        else:
            _run(problem, directory, fn_args)


def _run(problem: Problem, directory: epath.Path, fn_args) -> None:
    context = problem.context()
    started = time.monotonic()
    is_ours = launchers.current().clear(directory)
    notes = checkpoints.repair(directory) if is_ours else []
    model = problem.settings.model.name
    if registry.is_user_model(model) and registry.is_model_fn(model):
        graph_checks.check_serving(
            fitting.make_estimator(problem, context, directory), problem.serving_input()
        )
    best, restarts, training_notes = _train(problem, context, directory, fn_args, is_ours)
    notes += training_notes
    _hand_over(problem, context, directory, fn_args, best, started, restarts, notes)


def _run_as_task(problem: Problem, directory: epath.Path, fn_args, is_chief: bool) -> None:
    """Does the part of one task of a cluster that an operator has started."""
    started = time.monotonic()
    notes = checkpoints.repair(directory) if is_chief else []
    best = do_task(problem, directory)
    if is_chief:
        with estimator_api.outside_a_cluster():
            context = problem.context()
            # The evaluator may not have reached the last checkpoint.
            fitting.evaluate_missed(problem, context, directory, best, lambda **fields: None)
            _hand_over(problem, context, directory, fn_args, best, started, [], notes)


def _hand_over(
    problem: Problem,
    context: Context,
    directory: epath.Path,
    fn_args,
    best: BestCheckpoint,
    started: float,
    restarts: list[dict[str, Any]],
    notes: list[str],
) -> None:
    """Exports the best checkpoint and writes the training's record."""
    seconds = time.monotonic() - started
    checkpoint = best.checkpoint()
    estimator = fitting.make_estimator(problem, context, directory)
    context = intervals.calibrated(estimator, context, checkpoint, problem.eval_input())
    export.export(
        fitting.make_estimator(problem, context, directory),
        checkpoint,
        problem.serving_input(),
        epath.Path(fn_args.serving_model_dir),
        {
            export_inputs.FILE_NAME: export_inputs.to_json(
                problem.schema, problem.features, problem.settings.missing
            ),
            label_lib.FILE_NAME: label_lib.to_json(context.labels),
            export_manifest.IDENTITY: json.dumps(
                {"training": directory.name, "checkpoint": best.record().checkpoint}
            ),
        },
    )
    run = epath.Path(fn_args.model_run_dir)
    export.copy_summaries(directory, run)
    record = {
        "model": dataclasses.asdict(problem.settings.model),
        "train": dataclasses.asdict(problem.settings.train),
        "rows": context.rows,
        "max_steps": context.max_steps,
        "seconds": round(seconds, 2),
        "best": dataclasses.asdict(best.record()),
        "restarts": restarts,
        "notes": [*features_lib.notes(problem.schema, problem.settings.columns), *notes],
    }
    (run / RECORD).write_text(json.dumps(record, indent=2))


def _train(
    problem: Problem, context: Context, directory: epath.Path, fn_args, is_ours: bool
) -> tuple[BestCheckpoint, list[dict[str, Any]], list[str]]:
    """Trains in this process or on a cluster.

    Returns:
        The best checkpoint, the restarts of tasks, and notes for the user.
    """
    progress = Progress(context.max_steps, observer.current())

    def on_evaluation(step: int, metrics: Mapping[str, float]) -> None:
        progress.record_event("evaluation", step=step, metrics=metrics)

    tasks = problem.settings.train.tasks
    last = fitting.make_estimator(problem, context, directory).latest_checkpoint()
    # Even if no steps are left, checkpoints may remain to be evaluated.
    if not tasks or (is_ours and checkpoints.step_of(last) >= context.max_steps):
        restarts = []
        best = fitting.fit(problem, context, directory, on_evaluation, progress.record_event)
    else:
        best = BestCheckpoint(directory / "best", on_evaluation)
        if is_ours:
            fitting.evaluate_missed(problem, context, directory, best, progress.record_event)
        restarts = launchers.current().train(tasks, directory, fn_args, progress)
        evaluator_task.clean_up(directory)
        # An operator ends the evaluator as soon as the chief is done.
        fitting.evaluate_missed(problem, context, directory, best, progress.record_event)
    progress.report_end(len(restarts))
    return best, restarts, progress.notes


def do_task(
    problem: Problem,
    directory: epath.Path,
    on_evaluation: Callable[[int, Mapping[str, float]], None] | None = None,
    on_event: EventCallback = lambda **fields: None,
) -> BestCheckpoint:
    """Does the part of a training that `TF_CONFIG` assigns to this process; see `fit`.

    For a parameter server this never returns; whoever started the process ends it.

    Raises:
        UserError: the configuration does not describe a cluster of tasks.
    """
    config = estimator_api.RunConfig()
    if config.task_type == "ps":
        estimator_api.serve_variables(config)
    if not problem.settings.train.tasks:
        raise UserError(
            f"TF_CONFIG: this process is a {config.task_type} of a cluster, but train.cluster does "
            "not describe one; set it, such as {workers: 2}, or start the process without TF_CONFIG"
        )
    return fitting.fit(problem, problem.context(), directory, on_evaluation, on_event)
