"""What the evaluator of a cluster does: evaluates the newest checkpoint, again and again.

Not by `train_and_evaluate`, which reads a checkpoint that training may remove meanwhile, and dies
of it, and which does not see that training has stopped early. A copy stays as long as it is needed.
"""

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from etils import epath

from models.best_checkpoint import BestCheckpoint

_LOOK_EVERY = 0.5
_FOLDER = "evaluating"


def evaluate_all(
    estimator: Any,
    input_fn: Callable[[], tf.data.Dataset],
    hooks: list[Any],
    best: BestCheckpoint,
    max_steps: int,
) -> None:
    """Evaluates until a checkpoint of `max_steps` or more is evaluated, or the process is ended.

    Args:
        estimator: whose checkpoints they are.
        input_fn: of one pass over the eval split.
        hooks: of each evaluation.
        best: is given each evaluation, and keeps the best.
        max_steps: where training ends.
    """
    evaluated, step = None, -1
    while step < max_steps:
        found = estimator.latest_checkpoint()
        if found is None or found == evaluated or (copy := _copied(epath.Path(found))) is None:
            time.sleep(_LOOK_EVERY)
            continue
        result = estimator.evaluate(input_fn, hooks=hooks, checkpoint_path=str(copy))
        evaluated, step = found, int(result["global_step"])
        best.export(estimator, None, str(copy), result, step >= max_steps)


def clean_up(directory: epath.Path) -> None:
    """Removes what an evaluator has left in a training's directory."""
    folder = directory / _FOLDER
    if folder.exists():
        folder.rmtree()


def _copied(checkpoint: epath.Path) -> epath.Path | None:
    """The same checkpoint where nobody removes it; None if it is being removed by now."""
    clean_up(checkpoint.parent)
    folder = checkpoint.parent / _FOLDER
    folder.mkdir()
    try:
        for file in checkpoint.parent.glob(f"{checkpoint.name}.*"):
            file.copy(folder / file.name)
    except (FileNotFoundError, tf.errors.NotFoundError):
        return None
    # Its files are removed one by one: is the index there, and each part, as data-00000-of-00002?
    parts = list(folder.glob("*.data-*"))
    is_whole = list(folder.glob("*.index")) and parts and int(parts[0].name[-5:]) == len(parts)
    return folder / checkpoint.name if is_whole else None
