"""Checkpoints of a training, and their repair after a killed run or a full disk.

The Estimator restores the last checkpoint named in the file `checkpoint`, whether readable or not,
and never removes the files of checkpoints that are not named there.
"""

import re
from collections.abc import Iterable

import tensorflow as tf
from absl import logging
from etils import epath

from models.training.best_checkpoint import BestCheckpoint

_ASIDE = "unreadable"
_FILE = re.compile(r"(model\.ckpt-(\d+))\.(index|meta|data-\d{5}-of-\d{5})")
_UNFINISHED = re.compile(r"(model\.ckpt-\d+|checkpoint).*(tempstate|\.tmp|_temp).*")


def step_of(checkpoint: str | None) -> int:
    """Returns the step in a checkpoint's path, or 0 without a checkpoint."""
    return int(checkpoint.rpartition("-")[2]) if checkpoint else 0


def kept(directory: epath.Path) -> list[epath.Path]:
    """Returns the paths of a directory's checkpoints, without suffixes, in order of their steps."""
    if not directory.exists():
        return []
    file_names = {
        path.name for path in directory.glob("model.ckpt-*.index") if _FILE.match(path.name)
    }
    names = sorted((name.removesuffix(".index") for name in file_names), key=step_of)
    return [directory / name for name in names]


def is_readable(checkpoint: epath.Path) -> bool:
    """Returns whether all tensors of a checkpoint can be read; reading verifies the checksums."""
    try:
        reader = tf.train.load_checkpoint(str(checkpoint))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    # Which error is raised depends on where the file is damaged.
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        logging.warning("Checkpoint %s: %s", checkpoint, error)
        return False
    return True


def repair(directory: epath.Path) -> list[str]:
    """Repairs a training's directory so that training can resume from the last readable checkpoint.

    Unreadable checkpoints after that one are set aside, incomplete files are removed, and the file
    `checkpoint` is made to name the remaining ones. An unreadable best checkpoint is set aside with
    its record, and the remaining checkpoints will be evaluated again.

    Call this only while nothing trains in the directory.

    Returns:
        A sentence about each damage.
    """
    if not directory.exists():
        return []
    notes = []
    checkpoints = kept(directory)
    while checkpoints and not is_readable(checkpoints[-1]):
        damaged = checkpoints.pop()
        _set_aside(directory, _files_of(damaged))
        step = step_of(checkpoints[-1].name) if checkpoints else None
        resumes = "starts over" if step is None else f"continues from step {step:,}"
        notes.append(f"checkpoint {damaged.name} cannot be read; training {resumes}")
    _remove_unfinished(directory, checkpoints)
    _name(directory, checkpoints)
    best = BestCheckpoint(directory / "best")
    if best.exists() and not is_readable(epath.Path(best.checkpoint())):
        _set_aside(directory, (directory / "best").iterdir())
        steps = ", ".join(f"{step_of(path.name):,}" for path in checkpoints) or "none"
        notes.append(
            "the copy of the best checkpoint cannot be read; the remaining checkpoints (steps: "
            f"{steps}) are evaluated again"
        )
    for note in notes:
        logging.warning("%s: %s; its files are in %s", directory, note, directory / _ASIDE)
    return notes


def _files_of(checkpoint: epath.Path) -> list[epath.Path]:
    return list(checkpoint.parent.glob(f"{checkpoint.name}.*"))


def _set_aside(directory: epath.Path, files: Iterable[epath.Path]) -> None:
    aside = directory / _ASIDE
    aside.mkdir(exist_ok=True)
    for file in list(files):
        file.replace(aside / file.name)


def _remove_unfinished(directory: epath.Path, checkpoints: Iterable[epath.Path]) -> None:
    """Removes files of interrupted writes: temporary ones, and checkpoints without an index.

    Of the files that are restored, the index is written last.
    """
    names = {checkpoint.name for checkpoint in checkpoints}
    for path in directory.iterdir():
        file = _FILE.fullmatch(path.name)
        if _UNFINISHED.fullmatch(path.name) or (file and file[1] not in names):
            if path.is_dir():
                path.rmtree()
            else:
                path.unlink()


def _name(directory: epath.Path, checkpoints: list[epath.Path]) -> None:
    state = tf.train.get_checkpoint_state(str(directory))
    named = list(state.all_model_checkpoint_paths) if state else []
    if not checkpoints:
        (directory / "checkpoint").unlink(missing_ok=True)
    elif [epath.Path(path).name for path in named] != [path.name for path in checkpoints]:
        tf.compat.v1.train.update_checkpoint_state(
            str(directory), checkpoints[-1].name, [path.name for path in checkpoints]
        )
