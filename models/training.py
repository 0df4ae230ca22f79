"""The Trainer's `run_fn`: trains, evaluates and exports an Estimator of any model."""

import contextlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from absl import logging
from etils import epath

from models import (
    checkpoints,
    estimator_api,
    export,
    full_disk,
    graph_checks,
    inputs,
    intervals,
    manifest,
    mirrored,
    model_errors,
    no_proxy,
    progress,
    registry,
)
from models import features as features_lib
from models import label as label_lib
from models.best_checkpoint import BestCheckpoint
from models.cluster import evaluator, launch, layout
from models.cluster.balance import Balance
from models.context import Context
from models.params import CONTEXT
from models.problem import Problem
from models.progress import Progress, Tell

RECORD = "training.json"
"""In the model run's artifact: what the training was and cost."""


def run_fn(fn_args) -> None:
    """Trains, evaluates, and exports the best checkpoint to `fn_args.serving_model_dir`.

    Checkpoints go to a directory below `training_root` which is named by all that determines the
    result, so that a run which was killed continues where it stopped when it is started again, and
    never from a checkpoint of something else.

    Where an operator (as Vertex AI) has started it as one task of a cluster, and says so in
    `TF_CONFIG`, it does that task's part; only the chief exports.

    Args:
        fn_args: the Trainer's `FnArgs`; `custom_config` has `problem` (see `Problem`) and
            `training_root`. `hyperparameters`, if there are any, replace the configuration's.

    Raises:
        ValueError: what the features, the labels or the model's parameters do not allow, or a
            `TF_CONFIG` that describes no cluster.
        ModelError: what is wrong with a user's model.
        DiskFull: there is no room for the training's files.
    """
    problem = Problem.of(fn_args)
    directory = epath.Path(fn_args.custom_config["training_root"]) / problem.fingerprint()
    logging.info("Training directory: %s", directory)
    with _told(problem), full_disk.told(directory):
        if cluster := layout.in_environment():
            no_proxy.exempt(cluster.hosts)
            _run_as_task(problem, directory, fn_args, estimator_api.RunConfig().is_chief)
        else:
            _run(problem, directory, fn_args)


def _run(problem: Problem, directory: epath.Path, fn_args) -> None:
    context = problem.context()
    started = time.monotonic()
    is_ours = launch.launcher.clear(directory)
    notes = checkpoints.mend(directory) if is_ours else []
    model = problem.settings["model"]["name"]
    if registry.is_own(model) and registry.is_model_fn(model):
        graph_checks.check_serving(
            make_estimator(problem, context, directory), problem.serving_input()
        )
    best, restarts, told = _train(problem, context, directory, fn_args, is_ours)
    notes += told
    _hand_over(problem, context, directory, fn_args, best, started, restarts, notes)


def _run_as_task(problem: Problem, directory: epath.Path, fn_args, is_chief: bool) -> None:
    """Runs where an operator has started this process, and others, as the tasks of a cluster."""
    started = time.monotonic()
    notes = checkpoints.mend(directory) if is_chief else []
    best = do_task(problem, directory)
    if is_chief:
        with estimator_api.outside_a_cluster():
            context = problem.context()
            # The evaluator may not have come to the last one.
            _evaluate_missed(problem, context, directory, best, lambda **message: None)
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
    """Exports the best checkpoint, and writes down what the training was."""
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
                problem.schema, problem.features, problem.settings.get("missing", ())
            ),
            label_lib.FILE_NAME: label_lib.to_json(context.labels),
            manifest.IDENTITY: json.dumps(
                {"training": directory.name, "checkpoint": best.record()["checkpoint"]}
            ),
        },
    )
    run = epath.Path(fn_args.model_run_dir)
    export.copy_summaries(directory, run)
    record = {
        "model": problem.settings["model"],
        "train": problem.settings["train"],
        "rows": context.rows,
        "max_steps": context.max_steps,
        "seconds": round(seconds, 2),
        "best": best.record(),
        "restarts": restarts,
        "notes": [*features_lib.notes(problem.schema, problem.settings), *notes],
    }
    (run / RECORD).write_text(json.dumps(record, indent=2))


def _train(
    problem: Problem, context: Context, directory: epath.Path, fn_args, is_ours: bool
) -> tuple[BestCheckpoint, list[dict[str, Any]], list[str]]:
    """Trains in this process or in a cluster.

    Returns:
        The best checkpoint, which tasks died, and notes for the user.
    """
    watched = Progress(context.max_steps)

    def on_evaluation(step: int, metrics: Mapping[str, float]) -> None:
        watched.heard("evaluation", step=step, metrics=metrics)

    cluster = problem.settings["train"].get("cluster")
    last = make_estimator(problem, context, directory).latest_checkpoint()
    # Where nothing is left to train there may still be something to evaluate.
    alone = not cluster or problem.replicas > 1
    if alone or (is_ours and checkpoints.step_of(last) >= context.max_steps):
        best, restarts = fit(problem, context, directory, on_evaluation, watched.heard), []
    else:
        best = BestCheckpoint(directory / "best", on_evaluation)
        if is_ours:
            _evaluate_missed(problem, context, directory, best, watched.heard)
        restarts = launch.launcher.train(cluster, directory, fn_args, watched)
        evaluator.clean_up(directory)
        # An operator ends the evaluator as soon as the chief is done.
        _evaluate_missed(problem, context, directory, best, watched.heard)
    watched.ended(len(restarts))
    return best, restarts, watched.notes


def do_task(
    problem: Problem,
    directory: epath.Path,
    on_evaluation: Callable[[int, Mapping[str, float]], None] | None = None,
    tell: Tell = lambda **message: None,
) -> BestCheckpoint:
    """Does the part of a training that `TF_CONFIG` names; see `fit`.

    A parameter server's has no end: who started it ends it.

    Raises:
        ValueError: the configuration does not know of a cluster.
    """
    config = estimator_api.RunConfig()
    if config.task_type == "ps":
        estimator_api.serve_variables(config)
    if not problem.settings["train"].get("cluster") or problem.replicas > 1:
        raise ValueError(
            f"TF_CONFIG: this process is a {config.task_type} of a cluster, expected train.cluster "
            "to describe it; set train.cluster, as {workers: 2}, or start the process without "
            "TF_CONFIG"
        )
    return fit(problem, problem.context(), directory, on_evaluation, tell)


def make_estimator(problem: Problem, context: Context, directory: epath.Path, *, replicas: int = 1):
    """The Estimator of the problem's model, with its checkpoints in a directory.

    Raises:
        ValueError: there are not so many devices as `replicas`, which are for training alone.
    """
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
            experimental_max_worker_delay_secs=0,
            **mirrored.run_config(replicas),
        ),
    )


def fit(
    problem: Problem,
    context: Context,
    directory: epath.Path,
    on_evaluation: Callable[[int, Mapping[str, float]], None] | None = None,
    tell: Tell = lambda **message: None,
) -> BestCheckpoint:
    """Trains to the end, from the last checkpoint in the directory if there is one.

    As one task of a cluster, which it is where `TF_CONFIG` says so, it does that task's part.

    Args:
        problem: what to train.
        context: the problem's.
        directory: of checkpoints and summaries.
        on_evaluation: called after each evaluation with its step and metrics; what it raises ends
            the training.
        tell: is told of steps and checkpoints, see `models.progress`.

    Returns:
        The best checkpoint.

    Raises:
        ModelError: what is wrong with a user's model.
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
        with _told(problem):
            return _fit(problem, context, directory, report, tell)
    except model_errors.ModelError as error:
        if error.__cause__ in raised:
            raise error.__cause__ from None
        raise


def _told(problem: Problem) -> contextlib.AbstractContextManager[None]:
    """Tells errors of the problem's model by the lines of its file, if it is the user's."""
    return model_errors.told(registry.own_folders(problem.settings["model"]["name"]))


def _fit(
    problem: Problem,
    context: Context,
    directory: epath.Path,
    on_evaluation: Callable[[int, Mapping[str, float]], None],
    tell: Tell,
) -> BestCheckpoint:
    best = BestCheckpoint(directory / "best", on_evaluation)
    if not estimator_api.is_task(estimator_api.RunConfig()):
        # Before there is an Estimator to train: of two that are made of Keras models the later one
        # alone can be used, because Keras changes its classes when it makes a model.
        _evaluate_missed(problem, context, directory, best, tell)
    estimator = make_estimator(problem, context, directory, replicas=problem.replicas)
    train, config = problem.settings["train"], estimator.config
    found = estimator.latest_checkpoint()

    def evaluate_here() -> None:
        _evaluate(problem, context, directory, best, tell)

    if estimator_api.is_evaluator(config):
        sign = progress.Sign(tell)
        evaluator.evaluate_all(estimator, problem.eval_input(), [sign], best, context.max_steps)
        return best
    in_cluster = bool(config.cluster_spec)
    evaluates_here = in_cluster and config.is_chief and not train["cluster"]["evaluator"]
    shard = inputs.WHOLE
    if config.num_worker_replicas > 1:
        shard = inputs.Shard(config.global_id_in_cluster, config.num_worker_replicas)
    hooks = _early_stopping(estimator, train)
    if problem.replicas > 1:
        hooks.append(mirrored.WholeVariables())
    if shard.count > 1:
        batches = context.rows // shard.count // train["batch_size"]
        lead = max(batches // shard.count, 1)
        hooks.append(Balance(tell, shard.count, lead, context.max_steps))
    estimator_api.train_and_evaluate(
        estimator,
        estimator_api.TrainSpec(
            problem.train_input(context.rows, checkpoints.step_of(found) // shard.count, shard),
            max_steps=context.max_steps,
            hooks=[
                *hooks,
                progress.Standstill(),
                *([graph_checks.Notes(tell)] if config.is_chief else []),
                progress.Reporter(
                    tell,
                    train["batch_size"],
                    _summaries_of(directory, config),
                    everyone=config.is_chief,
                    with_loss=not config.is_chief,
                ),
            ],
            saving_listeners=[progress.Saved(tell, evaluate_here if evaluates_here else None)],
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
    tell: Tell,
) -> None:
    """Evaluates what a run did not, because it was killed before it had.

    `train_and_evaluate` evaluates new checkpoints only, so the one that it goes on from, which may
    be the best, or the last, would never be. Step 0 is not evaluated in any run.
    """
    for checkpoint in checkpoints.kept(directory):
        if checkpoints.step_of(checkpoint.name) > best.evaluated():
            _evaluate(problem, context, directory, best, tell, str(checkpoint))


def _evaluate(
    problem: Problem,
    context: Context,
    directory: epath.Path,
    best: BestCheckpoint,
    tell: Tell,
    checkpoint: str | None = None,
) -> None:
    """Evaluates a checkpoint, the last one if none is named, in this process."""
    with estimator_api.outside_a_cluster():
        alone = make_estimator(problem, context, directory)
    checkpoint = checkpoint or alone.latest_checkpoint()
    result = alone.evaluate(
        problem.eval_input(), hooks=[progress.Sign(tell)], checkpoint_path=checkpoint
    )
    best.export(alone, None, checkpoint, result, True)


def _summaries_of(directory: epath.Path, config) -> str:
    """Where a task's own summaries go: TensorBoard shows each directory by its name."""
    if config.is_chief:
        return str(directory)
    return str(directory / "tasks" / f"{config.task_type}-{config.task_id}")


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
