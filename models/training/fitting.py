"""Training of an Estimator to its end in this process, as a whole or as one task of a cluster."""

import contextlib
from collections.abc import Callable, Mapping

from etils import epath

from models import estimator_api
from models.diagnostics import graph_checks, model_errors
from models.distributed import mirrored
from models.distributed.balance import Balance
from models.features import inputs
from models.progress.training_progress import EventCallback
from models.settings.training_settings import Train
from models.toolbox.context import Context
from models.toolbox.params import CONTEXT
from models.training import checkpoints, evaluator_task, session_hooks
from models.training.best_checkpoint import BestCheckpoint
from models.training.problem import Problem
from models.zoo import registry


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
        with model_errors_located(problem):
            return _fit(problem, context, directory, report, on_event)
    except model_errors.ModelError as error:
        if error.__cause__ in raised:
            raise error.__cause__ from None
        raise


def model_errors_located(problem: Problem) -> contextlib.AbstractContextManager[None]:
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
        evaluate_missed(problem, context, directory, best, on_event)
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
        shard = inputs.Shard(estimator_api.trainer_index(config), config.num_worker_replicas)
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


def evaluate_missed(
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
