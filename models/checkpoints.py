"""What a run that was killed, or a disk that was full, may leave among a training's checkpoints.

The Estimator restores the checkpoint that is named last in the file `checkpoint`, readable or not,
and never removes a file that is not named there.
"""

import re
from collections.abc import Iterable

import tensorflow as tf
from absl import logging
from etils import epath

from models.best_checkpoint import BestCheckpoint

_ASIDE = "unreadable"
_FILE = re.compile(r"(model\.ckpt-(\d+))\.(index|meta|data-\d{5}-of-\d{5})")
_UNFINISHED = re.compile(r"(model\.ckpt-\d+|checkpoint).*(tempstate|\.tmp|_temp).*")


def step_of(checkpoint: str | None) -> int:
    """The step that a checkpoint's path names; 0 without a checkpoint."""
    return int(checkpoint.rpartition("-")[2]) if checkpoint else 0


def kept(directory: epath.Path) -> list[epath.Path]:
    """The checkpoints in a directory, from the first to the last, without their suffixes."""
    if not directory.exists():
        return []
    found = {path.name for path in directory.glob("model.ckpt-*.index") if _FILE.match(path.name)}
    names = sorted((name.removesuffix(".index") for name in found), key=step_of)
    return [directory / name for name in names]


def is_readable(checkpoint: epath.Path) -> bool:
    """Whether all of a checkpoint can be read; reading compares the checksums."""
    try:
        reader = tf.train.load_checkpoint(str(checkpoint))
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    # Which error a damaged file makes depends on where the damage is.
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        logging.warning("Checkpoint %s: %s", checkpoint, error)
        return False
    return True


def mend(directory: epath.Path) -> list[str]:
    """Leaves a training's directory such that training can go on from the best that is left.

    A checkpoint that cannot be read is set aside, files that are not whole are removed, and the
    file `checkpoint` names those that are there. A best checkpoint that cannot be read is set aside
    together with its record; those that are left will be evaluated again.

    To be called while nothing trains there.

    Returns:
        What was found damaged, a sentence each.
    """
    if not directory.exists():
        return []
    notes = []
    there = kept(directory)
    while there and not is_readable(there[-1]):
        damaged = there.pop()
        _set_aside(directory, _files_of(damaged))
        goes_on = f"goes on from step {step_of(there[-1].name):,}" if there else "begins anew"
        notes.append(f"checkpoint {damaged.name} cannot be read; training {goes_on}")
    _remove_unfinished(directory, there)
    _name(directory, there)
    best = BestCheckpoint(directory / "best")
    if best.exists() and not is_readable(epath.Path(best.checkpoint())):
        _set_aside(directory, (directory / "best").iterdir())
        again = ", ".join(f"{step_of(path.name):,}" for path in there) or "none"
        notes.append(
            f"the copy of the best checkpoint cannot be read; those that are left, of steps "
            f"{again}, are evaluated again"
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


def _remove_unfinished(directory: epath.Path, there: Iterable[epath.Path]) -> None:
    """The index comes last of what is restored: files without one are of a write that was cut."""
    names = {checkpoint.name for checkpoint in there}
    for path in directory.iterdir():
        file = _FILE.fullmatch(path.name)
        if _UNFINISHED.fullmatch(path.name) or (file and file[1] not in names):
            if path.is_dir():
                path.rmtree()
            else:
                path.unlink()


def _name(directory: epath.Path, there: list[epath.Path]) -> None:
    state = tf.train.get_checkpoint_state(str(directory))
    named = list(state.all_model_checkpoint_paths) if state else []
    if not there:
        (directory / "checkpoint").unlink(missing_ok=True)
    elif [epath.Path(path).name for path in named] != [path.name for path in there]:
        tf.compat.v1.train.update_checkpoint_state(
            str(directory), there[-1].name, [path.name for path in there]
        )
