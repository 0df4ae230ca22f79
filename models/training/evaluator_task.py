"""The evaluator of a cluster, which evaluates the newest checkpoint, again and again.

It does not use `train_and_evaluate`, which fails if training removes the checkpoint that it reads,
and does not notice early stopping. This evaluator reads a copy that nobody removes.
"""

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from etils import epath

from models.training.best_checkpoint import BestCheckpoint

_LOOK_EVERY = 0.5
_FOLDER = "evaluating"


def evaluate_all(
    estimator: Any,
    input_fn: Callable[[], tf.data.Dataset],
    hooks: list[Any],
    best: BestCheckpoint,
    max_steps: int,
) -> None:
    """Evaluates new checkpoints until one of `max_steps` or more, or until the process is killed.

    Args:
        estimator: the Estimator whose checkpoints are evaluated.
        input_fn: input function of one pass over the eval split.
        hooks: hooks of each evaluation.
        best: receives each evaluation, and keeps the best checkpoint.
        max_steps: the step at which training ends.
    """
    evaluated, step = None, -1
    while step < max_steps:
        latest = estimator.latest_checkpoint()
        if latest is None or latest == evaluated or (copy := _copied(epath.Path(latest))) is None:
            time.sleep(_LOOK_EVERY)
            continue
        result = estimator.evaluate(input_fn, hooks=hooks, checkpoint_path=str(copy))
        evaluated, step = latest, int(result["global_step"])
        best.export(estimator, None, str(copy), result, step >= max_steps)


def clean_up(directory: epath.Path) -> None:
    """Removes the evaluator's copy from a training's directory."""
    folder = directory / _FOLDER
    if folder.exists():
        folder.rmtree()


def _copied(checkpoint: epath.Path) -> epath.Path | None:
    """Copies a checkpoint to where nobody removes it; None if training is already removing it."""
    clean_up(checkpoint.parent)
    folder = checkpoint.parent / _FOLDER
    folder.mkdir()
    try:
        for file in checkpoint.parent.glob(f"{checkpoint.name}.*"):
            file.copy(folder / file.name)
    except (FileNotFoundError, tf.errors.NotFoundError):
        return None
    # Files are removed one by one, so check for the index and all parts (data-00000-of-00002).
    parts = list(folder.glob("*.data-*"))
    is_whole = list(folder.glob("*.index")) and parts and int(parts[0].name[-5:]) == len(parts)
    return folder / checkpoint.name if is_whole else None
