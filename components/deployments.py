"""The versions in a serving directory, and the record of how they were deployed.

A server loads the version with the highest number. `deployments.json`, beside the versions and
ignored by TensorFlow Serving, records for each version why and when it was deployed, and which
model it holds. Baseline, Pusher and `predict` use this module, which does not import TensorFlow.
"""

import contextlib
import dataclasses
import errno
import fcntl
import json
from collections.abc import Iterator
from typing import Optional

from absl import logging
from etils import epath

from models.errors import UserError
from models.training import export_manifest

RECORD = "deployments.json"
LOCK = ".deployments.lock"
"""Lock file beside the record, held by the run that is deciding what to deploy."""

BASELINE = "baseline.json"
"""File in the artifact of the Baseline component: a `Baseline` as JSON."""


class BadRecord(UserError):
    """The record of a serving directory cannot be read."""


@dataclasses.dataclass(frozen=True)
class Deployment:
    """An entry of the record.

    Attributes:
        version: name of the version's directory.
        deployed_at: time of deployment, as `2026-11-28T16:17:17+00:00`.
        why: reason for the deployment, in words.
        model: what the model was made from: the content of `identity.json`, None without one.
        checksums: see `models.training.export_manifest.digest`.
        compared_with: the version it was compared with, if any.
    """

    version: str
    deployed_at: str
    why: str
    model: Optional[str]
    checksums: str
    compared_with: Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The deployed model that a candidate is compared with.

    Attributes:
        version: the version being served; None if nothing is, or only the candidate itself.
        checksums: see `models.training.export_manifest.digest`.
        damage: why its files cannot be used, as the end of a sentence; empty if they can.
    """

    version: Optional[str] = None
    checksums: str = ""
    damage: str = ""

    def to_json(self) -> str:
        """Returns the baseline as JSON, which `from_json` reads back."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Baseline":
        """Returns the baseline that `to_json` wrote."""
        return cls(**json.loads(text))


@contextlib.contextmanager
def locked(directory: epath.Path) -> Iterator[None]:
    """Context manager: holds the lock of a serving directory; waits while another run holds it.

    Object stores and file systems without `flock` have no lock: there, two runs that push into the
    same directory at the same moment can deploy models that were not compared with each other.

    Args:
        directory: the serving directory, created if missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if is_in_object_store(directory):
        yield
        return
    with open(directory / LOCK, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.warning("%s: waiting for another run that is pushing into it", directory)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            logging.warning("%s: cannot be locked: %s", directory, error.strerror)
        yield


def is_in_object_store(directory: epath.Path) -> bool:
    """Returns whether a serving directory is in an object store: no locks and no atomic renames."""
    return "://" in str(directory)


def read(directory: epath.Path) -> tuple[Deployment, ...]:
    """Reads the record of a serving directory, latest deployment last; empty if there is none.

    Raises:
        BadRecord: the record cannot be read.
    """
    file = directory / RECORD
    if not file.exists():
        return ()
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["deployments"]
        return tuple(Deployment(**entry) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRecord(
            f"{file}: is not a record of deployments ({error}); restore or remove it (without a "
            "record, the highest version counts as the one that serves)"
        ) from None


def add(directory: epath.Path, deployment: Deployment) -> None:
    """Adds a deployment to the record atomically."""
    entries = [dataclasses.asdict(entry) for entry in (*read(directory), deployment)]
    text = json.dumps({"deployments": entries}, indent=2) + "\n"
    file = directory / RECORD
    if is_in_object_store(directory):  # which replaces an object atomically
        file.write_text(text)
        return
    partial = file.with_name(f".{RECORD}.partial")
    partial.write_text(text)
    partial.replace(file)


def versions(directory: epath.Path) -> list[epath.Path]:
    """Lists the directories of all versions, highest last."""
    if not directory.is_dir():
        return []
    directories = [path for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]
    return sorted(directories, key=lambda path: int(path.name))


def serving(directory: epath.Path) -> Optional[epath.Path]:
    """Returns the version being served, which is the highest one; None if there is no version.

    A version without a graph counts only if it is in the record: then it has been damaged since.
    Otherwise an interrupted push to an object store has left it, and no server loads it.

    Raises:
        BadRecord: see `read`.
    """
    recorded = {entry.version for entry in read(directory)}
    for version in reversed(versions(directory)):
        if version.name in recorded or (version / export_manifest.GRAPH).exists():
            return version
    return None


def damage(version: epath.Path) -> str:
    """Checks a version against its own checksums, and those against the record.

    Returns:
        What is wrong, as the end of a sentence about the version; empty if it is intact.

    Raises:
        BadRecord: see `read`.
    """
    if wrong := export_manifest.damage(version):
        return wrong
    recorded = [entry for entry in read(version.parent) if entry.version == version.name]
    if recorded and recorded[-1].checksums != export_manifest.digest(version):
        return f"is damaged: it is not the model that was deployed as version {version.name}"
    return ""


def model_of(export: epath.Path) -> Optional[str]:
    """Returns the content of an export's `identity.json`: what the model was made from.

    Two exports of one checkpoint have different graph bytes but the same identity. None if the
    export has no such file, or the file is not text.
    """
    file = export / export_manifest.EXTRA / export_manifest.IDENTITY
    try:
        return file.read_text(encoding="utf-8") if file.is_file() else None
    except ValueError:  # not text
        return None


def is_same_model(one: epath.Path, other: epath.Path) -> bool:
    """Returns whether two exports are known to be of the same model."""
    model = model_of(one)
    return model is not None and model == model_of(other)
