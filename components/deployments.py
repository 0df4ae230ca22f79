"""What is deployed: the versions of a serving directory, and the record of how they came there.

A server loads the version with the highest number. `deployments.json` beside the versions, which
TensorFlow Serving ignores, says of each version why and when it was deployed, and of which model it
is. Baseline, Pusher and `predict` all ask here; none of them imports TensorFlow by that.
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

from models import manifest

RECORD = "deployments.json"
LOCK = ".deployments.lock"
"""Beside the record: held by the run that decides what is deployed."""

BASELINE = "baseline.json"
"""In the artifact of the component Baseline: a `Baseline` as JSON."""


class BadRecord(ValueError):
    """The record of a serving directory cannot be read."""


@dataclasses.dataclass(frozen=True)
class Deployment:
    """One entry of the record.

    Attributes:
        version: the directory's name.
        deployed_at: when, as `2026-11-28T16:17:17+00:00`.
        why: in words.
        model: what the model was made of: the content of `identity.json`, None if it has none.
        checksums: see `models.manifest.digest`.
        compared_with: the version that it was compared with, None if it was with none.
    """

    version: str
    deployed_at: str
    why: str
    model: Optional[str]
    checksums: str
    compared_with: Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Baseline:
    """What a candidate is compared with.

    Attributes:
        version: the version that serves; None if no other model than the candidate does.
        checksums: see `models.manifest.digest`.
        damage: why its files cannot be used, as the end of a sentence; empty if they can.
    """

    version: Optional[str] = None
    checksums: str = ""
    damage: str = ""

    def to_json(self) -> str:
        """As text, read back by `from_json`."""
        return json.dumps(dataclasses.asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Baseline":
        """The baseline written by `to_json`."""
        return cls(**json.loads(text))


@contextlib.contextmanager
def locked(directory: epath.Path) -> Iterator[None]:
    """Lets one run at a time decide what a serving directory deploys; another one waits.

    Object stores, and file systems without `flock`, have no lock: there runs that push into one
    directory at the same moment can deploy a model that was not compared with the other's.

    Args:
        directory: the serving directory, made if need be.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if _is_in_object_store(directory):
        yield
        return
    with open(directory / LOCK, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.warning("%s: waiting for another run, which pushes into it", directory)
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            logging.warning("%s: cannot be locked: %s", directory, error.strerror)
        yield


def _is_in_object_store(directory: epath.Path) -> bool:
    return "://" in str(directory)


def read(directory: epath.Path) -> tuple[Deployment, ...]:
    """Reads the record of a serving directory, the latest deployment last; empty if it has none.

    Raises:
        BadRecord: it cannot be read.
    """
    file = directory / RECORD
    if not file.exists():
        return ()
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))["deployments"]
        return tuple(Deployment(**entry) for entry in entries)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadRecord(
            f"{file}: is not a record of deployments ({error}); restore it, or remove it: then "
            "what the highest version is counts alone"
        ) from None


def add(directory: epath.Path, deployment: Deployment) -> None:
    """Adds a deployment to the record, whole or not at all."""
    entries = [dataclasses.asdict(entry) for entry in (*read(directory), deployment)]
    text = json.dumps({"deployments": entries}, indent=2) + "\n"
    file = directory / RECORD
    if _is_in_object_store(directory):  # there an object is replaced at once
        file.write_text(text)
        return
    partial = file.with_name(f".{RECORD}.partial")
    partial.write_text(text)
    partial.replace(file)


def versions(directory: epath.Path) -> list[epath.Path]:
    """The directories of all versions, the highest last."""
    if not directory.is_dir():
        return []
    found = [path for path in directory.iterdir() if path.name.isdecimal() and path.is_dir()]
    return sorted(found, key=lambda path: int(path.name))


def serving(directory: epath.Path) -> Optional[epath.Path]:
    """The version that serves: the highest one; None if there is none.

    In an object store a push that was cut short leaves a version without graph, which no server
    loads. One that lost its graph later is in the record, and counts: it is damaged.

    Raises:
        BadRecord: see `read`.
    """
    recorded = {entry.version for entry in read(directory)}
    for version in reversed(versions(directory)):
        if version.name in recorded or (version / manifest.GRAPH).exists():
            return version
    return None


def damage(version: epath.Path) -> str:
    """Compares a version with its own checksums, and these with the record.

    Returns:
        What is wrong, as the end of a sentence about the version; empty if it is whole.

    Raises:
        BadRecord: see `read`.
    """
    if wrong := manifest.damage(version):
        return wrong
    recorded = [entry for entry in read(version.parent) if entry.version == version.name]
    if recorded and recorded[-1].checksums != manifest.digest(version):
        return f"is damaged: it is not the model that was deployed as version {version.name}"
    return ""


def model_of(export: epath.Path) -> Optional[str]:
    """What an export was made of; None if it does not say so.

    Two exports of one checkpoint differ in the bytes of their graphs; what they were made of does
    not.
    """
    file = export / "assets.extra" / manifest.IDENTITY
    try:
        return file.read_text(encoding="utf-8") if file.is_file() else None
    except ValueError:  # no text
        return None


def is_same_model(one: epath.Path, other: epath.Path) -> bool:
    """Whether two exports are known to be of the same model."""
    model = model_of(one)
    return model is not None and model == model_of(other)
