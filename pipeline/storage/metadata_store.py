"""Checks that TFX's metadata store, a SQLite file, is usable and matches the artifacts beside it.

TFX reports a damaged store by the SQL statement that failed, and a locked one not at all. Python's
SQLite module finds the problem before TensorFlow and TFX are imported.
"""

import contextlib
import os
import pathlib
import re
import sqlite3
import stat
import urllib.parse
from collections.abc import Iterator

from models.errors import StepError, UserError

SCHEMA_VERSION = 10
"""The schema version that the installed ml_metadata reads and writes."""
TABLES = frozenset(
    ("Type", "TypeProperty", "ParentType", "Artifact", "ArtifactProperty", "Execution")
    + ("ExecutionProperty", "Context", "ContextProperty", "ParentContext", "Event", "EventPath")
    + ("Association", "Attribution", "MLMDEnv")
)
"""The tables of that schema version."""
_PATIENCE = 5.0
"""Seconds to wait for another process to release its lock."""
LONGEST_WAIT = 60.0
"""The same during a run, whose work so far would be lost."""
_LEAST_BYTES = 512
"""The smallest page size of a SQLite database."""
_ARTIFACT = re.compile(r"(.*)/artifacts/([^/]+/[^/]+/[0-9]+(?:/.*)?)")
"""URI of an artifact, split into its workspace and its path below `artifacts/`."""
_REPLACE = (
    "restore it from a backup, or move it away: the next run then starts a new one and runs every "
    "step again, and pushed models stay"
)
_ELSEWHERE = "or choose another workspace with --workspace"


def check(file: pathlib.Path) -> None:
    """Checks that the store can be read and written, if it exists.

    Raises:
        UserError: the store is not a file, is damaged, locked or read-only, or was written by
            another version of ml_metadata.
    """
    try:
        if not os.path.lexists(file):
            return
        if not stat.S_ISREG(file.stat().st_mode):
            raise UserError(f"{file}: expected the metadata store, a SQLite file; move it away")
        if 0 < file.stat().st_size < _LEAST_BYTES:
            raise sqlite3.DatabaseError("file is cut off")  # SQLite would take it as new
        with _connected(file) as store:
            store.execute("BEGIN IMMEDIATE")
            problem = store.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise sqlite3.DatabaseError(" ".join(problem.split()))
            _check_schema(file, store)
            _check_write(store)
            store.execute("COMMIT")
    except FileNotFoundError:
        raise UserError(
            f"{file}: leads to {os.readlink(file)}, which does not exist; restore that file, or "
            "remove the link"
        ) from None
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; make it readable, {_ELSEWHERE}") from None
    except sqlite3.Error as error:
        raise UserError(f"{file}: {_explained(str(error))}") from None


class LockedError(StepError):
    """Raised if another process keeps the store locked for too long."""


def wait_until_free(file: pathlib.Path) -> None:
    """Waits until no other process locks the store.

    ML Metadata itself would wait forever without a message.

    Raises:
        LockedError: the lock was not released within `LONGEST_WAIT` seconds.
    """
    if not file.exists():
        return
    try:
        with _connected(file, LONGEST_WAIT) as store:
            store.execute("BEGIN EXCLUSIVE")
            store.execute("ROLLBACK")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):  # ML Metadata reports other problems
            return
        raise LockedError(
            f"{file}: another process has locked the metadata store for more than "
            f"{LONGEST_WAIT:.0f} s; end it (`fuser` names it), then run the same command again"
        ) from None


def prepare(file: pathlib.Path, artifacts: pathlib.Path) -> list[str]:
    """Adjusts the store to the artifacts beside it: see `adopt` and `continue_numbers`.

    Returns:
        A sentence about each change.
    """
    changes = (adopt(file, artifacts), continue_numbers(file, artifacts))
    return [change for change in changes if change]


def adopt(file: pathlib.Path, artifacts: pathlib.Path) -> str | None:
    """Updates the paths of artifacts in the store after the workspace was moved or copied.

    The store holds absolute paths. Without this a copy would use the original's artifacts, and a
    moved workspace would lose track of its own.

    Args:
        file: the store, already checked.
        artifacts: the current directory of the artifacts.

    Returns:
        A sentence about what changed; None if nothing did.
    """
    if not file.exists():
        return None
    with _connected(file) as store:
        if "Artifact" not in _tables(store):
            return None
        moved, origins = [], set()
        for artifact_id, uri in store.execute("SELECT id, uri FROM Artifact WHERE uri IS NOT NULL"):
            match = _ARTIFACT.fullmatch(uri)
            if match is None or uri.startswith(f"{artifacts}/"):
                continue
            path = artifacts / match[2]
            if path.exists():
                moved.append((str(path), artifact_id))
                origins.add(match[1])
        store.execute("BEGIN IMMEDIATE")
        store.executemany("UPDATE Artifact SET uri = ? WHERE id = ?", moved)
        store.execute("COMMIT")
    if not moved:
        return None
    return (
        f"this workspace was at {' and '.join(sorted(origins))} before; its {len(moved)} artifacts "
        "are used from here now"
    )


def continue_numbers(file: pathlib.Path, artifacts: pathlib.Path) -> str | None:
    """Makes new execution ids continue after the highest one among the artifact folders.

    A store that is new or restored from a backup would otherwise reuse ids of earlier executions,
    whose artifact folders still exist.

    Args:
        file: the store, already checked; created if artifacts exist without it.
        artifacts: the artifacts of earlier executions.

    Returns:
        A sentence about what changed; None if nothing did.
    """
    # `.system` also holds folders of drivers, whose numbers are timestamps.
    patterns = ("*/[!.]*/*", "*/.system/executor_execution/*")
    paths = (path for pattern in patterns for path in artifacts.glob(pattern))
    ids = (int(path.name) for path in paths if re.fullmatch("[0-9]+", path.name))
    highest = max(ids, default=0)
    if not highest:
        return None
    _make_tables(file)
    with _connected(file) as store:
        row = store.execute("SELECT seq FROM sqlite_sequence WHERE name = 'Execution'").fetchone()
        if highest <= (row[0] if row else 0):
            return None
        store.execute("BEGIN IMMEDIATE")
        store.execute("DELETE FROM sqlite_sequence WHERE name = 'Execution'")
        store.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('Execution', ?)", (highest,))
        store.execute("COMMIT")
    return (
        f"{file.name} was removed or replaced by an older one: the outputs of earlier runs in "
        f"{artifacts.name}/ stay, but are not used again"
    )


def _make_tables(file: pathlib.Path) -> None:
    """Lets ml_metadata create the tables if the store has none."""
    if file.exists():
        with _connected(file) as store:
            if _tables(store):
                return
    from ml_metadata import metadata_store as mlmd
    from ml_metadata.proto import metadata_store_pb2

    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    config.sqlite.connection_mode = config.sqlite.READWRITE_OPENCREATE
    mlmd.MetadataStore(config)


@contextlib.contextmanager
def _connected(file: pathlib.Path, patience: float | None = None) -> Iterator[sqlite3.Connection]:
    """Context manager: connects to the store; waits `patience` seconds, or `_PATIENCE`, for it."""
    uri = f"file:{urllib.parse.quote(os.fsencode(file))}?mode=rw"
    timeout = _PATIENCE if patience is None else patience
    store = sqlite3.connect(uri, uri=True, timeout=timeout, isolation_level=None)
    with contextlib.closing(store):
        yield store


def _check_write(store: sqlite3.Connection) -> None:
    """Rewrites an existing value, so that missing permissions and full disks raise an error."""
    (version,) = store.execute("PRAGMA user_version").fetchone()
    store.execute(f"PRAGMA user_version = {version}")


def _check_schema(file: pathlib.Path, store: sqlite3.Connection) -> None:
    tables = _tables(store)
    if not tables:
        return
    if "MLMDEnv" not in tables:
        raise UserError(
            f"{file}: is not a metadata store but another SQLite database; move it away"
        )
    versions = [version for (version,) in store.execute("SELECT schema_version FROM MLMDEnv")]
    if len(versions) == 1 and versions[0] != SCHEMA_VERSION:
        than = "a newer" if versions[0] > SCHEMA_VERSION else "an older"
        raise UserError(
            f"{file}: was written by {than} ml_metadata (schema {versions[0]}; the installed one "
            f"reads {SCHEMA_VERSION}); install that version again, or {_REPLACE}"
        )
    if not versions or not tables >= TABLES:
        missing = ", ".join(sorted(TABLES - tables)) or "its version"
        raise UserError(f"{file}: the metadata store is damaged (lacks {missing}); {_REPLACE}")


def _tables(store: sqlite3.Connection) -> set[str]:
    return {name for (name,) in store.execute("SELECT name FROM sqlite_master WHERE type='table'")}


def _explained(error: str) -> str:
    """Turns an error of SQLite into a message that says what to do."""
    if "locked" in error:
        return (
            f"another process has locked the metadata store for more than {_PATIENCE:.0f} s; end "
            f"it (`fuser` names it), {_ELSEWHERE}"
        )
    if "readonly" in error or "unable to open" in error:
        return (
            f"the metadata store cannot be written ({error}); make the file and its folder "
            f"writable, {_ELSEWHERE}"
        )
    if "full" in error:
        return f"the disk is full; free some space, {_ELSEWHERE}"
    return f"the metadata store is damaged ({error}); {_REPLACE}"
