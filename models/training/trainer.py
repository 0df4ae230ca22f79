"""The Trainer's `run_fn`, which trains, evaluates and exports an Estimator of any model."""

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from absl import logging
from etils import epath

from models import estimator_api
from models.diagnostics import graph_checks, model_errors
from models.distributed import launchers, layout, mirrored
from models.distributed.balance import Balance
from models.errors import UserError
from models.features import features as features_lib
from models.features import inputs
from models.features import label as label_lib
from models.processes import no_proxy
from models.progress import observer
from models.progress.training_progress import EventCallback, Progress
from models.settings.training_settings import Train
from models.toolbox import intervals
from models.toolbox.context import Context
from models.toolbox.params import CONTEXT
from models.training import (
    checkpoints,
    evaluator_task,
    export,
    export_manifest,
    full_disk,
    session_hooks,
)
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
    with _model_errors_located(problem), full_disk.explained(directory):
        if cluster := layout.in_environment():
            no_proxy.exempt(cluster.hosts)
            _run_as_task(problem, directory, fn_args, estimator_api.RunConfig().is_chief)
        else:
            _run(problem, directory, fn_args)


def _run(problem: Problem, directory: epath.Path, fn_args) -> None:
    context = problem.context()
    started = time.monotonic()
    is_ours = launchers.current().clear(directory)
    notes = checkpoints.mend(directory) if is_ours else []
    model = problem.settings.model.name
    if registry.is_user_model(model) and registry.is_model_fn(model):
        graph_checks.check_serving(
            make_estimator(problem, context, directory), problem.serving_input()
        )
    best, restarts, training_notes = _train(problem, context, directory, fn_args, is_ours)
    notes += training_notes
    _hand_over(problem, context, directory, fn_args, best, started, restarts, notes)


def _run_as_task(problem: Problem, directory: epath.Path, fn_args, is_chief: bool) -> None:
    """Does the part of one task of a cluster that an operator has started."""
    started = time.monotonic()
    notes = checkpoints.mend(directory) if is_chief else []
    best = do_task(problem, directory)
    if is_chief:
        with estimator_api.outside_a_cluster():
            context = problem.context()
            # The evaluator may not have reached the last checkpoint.
            _evaluate_missed(problem, context, directory, best, lambda **fields: None)
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
    context = intervals.calibrated(
        make_estimator(problem, context, directory), context, checkpoint, problem.eval_input()
    )
    export.export(
        make_estimator(problem, context, directory),
        checkpoint,
        problem.serving_input(),
        epath.Path(fn_args.serving_model_dir),
        {
            features_lib.FILE_NAME: features_lib.signature(
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
    last = make_estimator(problem, context, directory).latest_checkpoint()
    # Even if no steps are left, checkpoints may remain to be evaluated.
    if not tasks or (is_ours and checkpoints.step_of(last) >= context.max_steps):
        best, restarts = fit(problem, context, directory, on_evaluation, progress.record_event), []
    else:
        best = BestCheckpoint(directory / "best", on_evaluation)
        if is_ours:
            _evaluate_missed(problem, context, directory, best, progress.record_event)
        restarts = launchers.current().train(tasks, directory, fn_args, progress)
        evaluator_task.clean_up(directory)
        # An operator ends the evaluator as soon as the chief is done.
        _evaluate_missed(problem, context, directory, best, progress.record_event)
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
            f"TF_CONFIG: this process is a {config.task_type} of a cluster, expected train.cluster "
            "to describe it; set train.cluster, as {workers: 2}, or start the process without "
            "TF_CONFIG"
        )
    return fit(problem, problem.context(), directory, on_evaluation, on_event)


def make_estimator(problem: Problem, context: Context, directory: epath.Path, *, replicas: int = 1):
    """Builds the Estimator of the problem's model, with its checkpoints in `directory`.

    `replicas` above 1 are for training only.

    Raises:
        UserError: see `registry.estimator`; or there are fewer GPUs than `replicas`.
    """
    model, train = problem.settings.model, problem.settings.train
    return registry.estimator(
        model.name,
        {**model.params, CONTEXT: context},
        estimator_api.RunConfig(
            model_dir=str(directory),
            tf_random_seed=train.seed,
            save_checkpoints_steps=train.evaluate_every,
            keep_checkpoint_max=train.keep_checkpoints,
            save_summary_steps=100,
            log_step_count_steps=500,
            experimental_max_worker_delay_secs=0,
            **mirrored.run_config(replicas),
        ),
    )


def fit(
    problem: Problem,
    context: Context,
    directory: epath.Path,
    on_evaluation: Callable[[int, Mapping[str, float]], None] | None = None,
    on_event: EventCallback = lambda **fields: None,
) -> BestCheckpoint:
    """Trains to the end, resuming from the last checkpoint in the directory, if any.

    If `TF_CONFIG` makes this process a task of a cluster, it does only that task's part.

    Args:
        problem: the problem to train on.
        context: the problem's context.
        directory: directory of checkpoints and summaries.
        on_evaluation: called after each evaluation with its step and metrics; an exception that it
            raises ends the training and reaches the caller.
        on_event: called with steps and checkpoints, see `models.progress.training_progress`.

    Returns:
        The best checkpoint.

    Raises:
        ModelError: there is a mistake in a user's model.
    """
    raised: list[Exception] = []

    def report(step: int, metrics: Mapping[str, float]) -> None:
        try:
            if on_evaluation:
                on_evaluation(step, metrics)
        except Exception as error:
            raised.append(error)
            raise

    try:
        with _model_errors_located(problem):
            return _fit(problem, context, directory, report, on_event)
    except model_errors.ModelError as error:
        if error.__cause__ in raised:
            raise error.__cause__ from None
        raise


def _model_errors_located(problem: Problem) -> contextlib.AbstractContextManager[None]:
    """Context manager: errors from a user's own model are raised with the line of its file."""
    return model_errors.located(registry.user_folders(problem.settings.model.name))


def _fit(
    problem: Problem,
    context: Context,
    directory: epath.Path,
    on_evaluation: Callable[[int, Mapping[str, float]], None],
    on_event: EventCallback,
) -> BestCheckpoint:
    best = BestCheckpoint(directory / "best", on_evaluation)
    if not estimator_api.is_task(estimator_api.RunConfig()):
        # Do this before building the Estimator to train: of two Estimators made from Keras models
        # only the later one works, because Keras changes its classes when it builds a model.
        _evaluate_missed(problem, context, directory, best, on_event)
    estimator = make_estimator(
        problem, context, directory, replicas=problem.settings.train.replicas
    )
    train, config = problem.settings.train, estimator.config
    latest = estimator.latest_checkpoint()

    def evaluate_here() -> None:
        _evaluate(problem, context, directory, best, on_event)

    if estimator_api.is_evaluator(config):
        reporter = session_hooks.EvaluationReporter(on_event)
        evaluator_task.evaluate_all(
            estimator, problem.eval_input(), [reporter], best, context.max_steps
        )
        return best
    in_cluster = bool(config.cluster_spec)
    has_evaluator = train.tasks is not None and train.tasks.evaluator
    evaluates_here = in_cluster and config.is_chief and not has_evaluator
    shard = inputs.WHOLE
    if config.num_worker_replicas > 1:
        shard = inputs.Shard(config.global_id_in_cluster, config.num_worker_replicas)
    hooks = _early_stopping(estimator, train)
    if train.replicas > 1:
        hooks.append(mirrored.WholeVariables())
    if shard.count > 1:
        batches = context.rows // shard.count // train.batch_size
        lead = max(batches // shard.count, 1)
        hooks.append(Balance(on_event, shard.count, lead, context.max_steps))
    estimator_api.train_and_evaluate(
        estimator,
        estimator_api.TrainSpec(
            problem.train_input(context.rows, checkpoints.step_of(latest) // shard.count, shard),
            max_steps=context.max_steps,
            hooks=[
                *hooks,
                session_hooks.Standstill(),
                *([graph_checks.Notes(on_event)] if config.is_chief else []),
                session_hooks.StepReporter(
                    on_event,
                    train.batch_size,
                    _summaries_of(directory, config),
                    count_all_tasks=config.is_chief,
                    with_loss=not config.is_chief,
                ),
            ],
            saving_listeners=[
                session_hooks.CheckpointReporter(
                    on_event, evaluate_here if evaluates_here else None
                )
            ],
        ),
        estimator_api.EvalSpec(
            problem.eval_input(), steps=None, exporters=[best], start_delay_secs=0, throttle_secs=0
        ),
    )
    return best


def _evaluate_missed(
    problem: Problem,
    context: Context,
    directory: epath.Path,
    best: BestCheckpoint,
    on_event: EventCallback,
) -> None:
    """Evaluates the checkpoints that a killed run left without an evaluation.

    `train_and_evaluate` evaluates only new checkpoints, so it would never evaluate the one it
    resumes from, which may be the best or the last. No run evaluates step 0.
    """
    for checkpoint in checkpoints.kept(directory):
        if checkpoints.step_of(checkpoint.name) > best.evaluated():
            _evaluate(problem, context, directory, best, on_event, str(checkpoint))


def _evaluate(
    problem: Problem,
    context: Context,
    directory: epath.Path,
    best: BestCheckpoint,
    on_event: EventCallback,
    checkpoint: str | None = None,
) -> None:
    """Evaluates a checkpoint (by default the last one) in this process."""
    with estimator_api.outside_a_cluster():
        alone = make_estimator(problem, context, directory)
    checkpoint = checkpoint or alone.latest_checkpoint()
    result = alone.evaluate(
        problem.eval_input(),
        hooks=[session_hooks.EvaluationReporter(on_event)],
        checkpoint_path=checkpoint,
    )
    best.export(alone, None, checkpoint, result, True)


def _summaries_of(directory: epath.Path, config) -> str:
    """Returns the directory of a task's own summaries; TensorBoard shows each by its name."""
    if config.is_chief:
        return str(directory)
    return str(directory / "tasks" / f"{config.task_type}-{config.task_id}")


def _early_stopping(estimator, train: Train) -> list:
    if not train.early_stopping:
        return []
    return [
        estimator_api.stop_if_no_decrease_hook(
            estimator,
            metric_name="loss",
            max_steps_without_decrease=train.early_stopping.patience,
            run_every_secs=None,
            run_every_steps=train.evaluate_every,
        )
    ]
