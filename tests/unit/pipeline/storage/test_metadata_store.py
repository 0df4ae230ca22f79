"""Tests that an unusable metadata store ends a run with one line, and any other works."""

import contextlib
import pathlib
import shutil
import sqlite3
import subprocess
import sys

import ml_metadata
import pytest
from ml_metadata.proto import metadata_store_pb2

from models.errors import UserError
from pipeline.storage import metadata_store


def connect(file: pathlib.Path):
    config = metadata_store_pb2.ConnectionConfig()
    config.sqlite.filename_uri = str(file)
    config.sqlite.connection_mode = config.sqlite.READWRITE_OPENCREATE
    return ml_metadata.MetadataStore(config)


def execute(file: pathlib.Path, *statements: str) -> list:
    with contextlib.closing(sqlite3.connect(file)) as store:
        for statement in statements:
            rows = store.execute(statement).fetchall()
        store.commit()
    return rows


def new_execution(file: pathlib.Path) -> int:
    store = connect(file)
    kind = store.put_execution_type(metadata_store_pb2.ExecutionType(name="Step"))
    return store.put_executions([metadata_store_pb2.Execution(type_id=kind)])[0]


def put_artifact(file: pathlib.Path, uri: str) -> int:
    store = connect(file)
    kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="Model"))
    return store.put_artifacts([metadata_store_pb2.Artifact(type_id=kind, uri=uri)])[0]


def uris(file: pathlib.Path) -> list[str]:
    return [artifact.uri for artifact in connect(file).get_artifacts()]


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> pathlib.Path:
    file = tmp_path_factory.mktemp("store") / "metadata.sqlite"
    for _ in range(3):
        new_execution(file)
    put_artifact(file, "/gone/artifacts/Trainer/model/3")
    return file


@pytest.fixture(params=["w", "w [v1] {a} #%é?*'"])
def file(request, filled, tmp_path) -> pathlib.Path:
    """Copies a store with three executions into a folder with a plain or an odd name."""
    folder = tmp_path / request.param
    folder.mkdir()
    return pathlib.Path(shutil.copy(filled, folder))


def refusal(file: pathlib.Path) -> str:
    with pytest.raises(UserError) as caught:
        metadata_store.check(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert "\n" not in text
    return text.removeprefix(f"{file}: ")


def test_the_tables_are_those_of_the_installed_ml_metadata(filled):
    rows = execute(filled, "SELECT name FROM sqlite_master WHERE type = 'table'")
    assert {name for (name,) in rows} - {"sqlite_sequence"} == metadata_store.TABLES
    assert execute(filled, "SELECT schema_version FROM MLMDEnv") == [
        (metadata_store.SCHEMA_VERSION,)
    ]


def test_a_valid_new_or_empty_store_is_not_changed(file):
    before = connect(file).get_executions()
    metadata_store.check(file)
    assert connect(file).get_executions() == before
    metadata_store.check(file.with_name("new.sqlite"))
    assert not file.with_name("new.sqlite").exists()
    file.write_bytes(b"")
    metadata_store.check(file)
    execute(file, "CREATE TABLE t (x)", "DROP TABLE t")
    metadata_store.check(file)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:4096],
        lambda data: data[:50],
        lambda data: b"not a database at all" * 1000,
        lambda data: b"\0" * len(data),
        lambda data: data[:4096] + b"\xff" * 8192 + data[12288:],
    ],
    ids=["half", "one page", "within the header", "garbage", "zeros", "pages overwritten"],
)
def test_a_damaged_store_is_refused(file, damage):
    file.write_bytes(damage(file.read_bytes()))
    before = file.read_bytes()
    text = refusal(file)
    assert text.startswith("the metadata store is damaged (")
    assert text.endswith(
        "; restore it from a backup, or move it away: the next run then starts a new one and runs "
        "every step again, and pushed models stay"
    )
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "line"),
    [
        (
            "UPDATE MLMDEnv SET schema_version = 11",
            "was written by a newer ml_metadata (schema 11; the installed one reads 10); install",
        ),
        (
            "UPDATE MLMDEnv SET schema_version = 7",
            "was written by an older ml_metadata (schema 7; the installed one reads 10); install",
        ),
        ("DELETE FROM MLMDEnv", "the metadata store is damaged (lacks its version); restore"),
        ("DROP TABLE Event", "the metadata store is damaged (lacks Event); restore"),
        ("DROP TABLE MLMDEnv", "is not a metadata store but another SQLite database; move it away"),
    ],
)
def test_a_store_of_another_version_or_kind_is_refused(file, statement, line):
    execute(file, statement)
    assert refusal(file).startswith(line)


def test_a_store_that_is_not_a_file_is_refused(file):
    file.unlink()
    file.mkdir()
    assert refusal(file) == "expected the metadata store, a SQLite file; move it away"
    file.rmdir()
    file.symlink_to("/gone/store.sqlite")
    assert refusal(file) == (
        "leads to /gone/store.sqlite, which does not exist; restore that file, or remove the link"
    )


@pytest.mark.parametrize("lock", ["BEGIN EXCLUSIVE", "BEGIN IMMEDIATE"])
def test_a_locked_store_is_refused(file, lock, monkeypatch):
    monkeypatch.setattr(metadata_store, "_PATIENCE", 0.1)
    code = (
        "import sqlite3, sys; store = sqlite3.connect(sys.argv[1]); store.execute(sys.argv[2])\n"
        "print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(file), lock]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout and holder.stdout.readline() == "locked\n"
        assert refusal(file).startswith("another process has locked the metadata store")
        monkeypatch.setattr(metadata_store, "LONGEST_WAIT", 0.2)
        with pytest.raises(metadata_store.LockedError) as caught:
            metadata_store.wait_until_free(file)
        assert str(caught.value) == (
            f"{file}: another process has locked the metadata store for more than 0 s; end it "
            "(`fuser` names it), then run the same command again"
        )
        holder.communicate()
    metadata_store.wait_until_free(file)
    metadata_store.check(file)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        ("attempt to write a readonly database", "the metadata store cannot be written (attempt"),
        ("unable to open database file", "the metadata store cannot be written (unable to open"),
        ("database or disk is full", "the disk is full; free some space, or choose another"),
        ("disk I/O error", "the metadata store is damaged (disk I/O error); restore it"),
    ],
)
def test_errors_of_the_disk_are_explained(file, monkeypatch, error, line):
    def fail(*_):
        raise sqlite3.OperationalError(error)

    monkeypatch.setattr(metadata_store, "_check_write", fail)
    assert refusal(file).startswith(line)


def artifact(artifacts: pathlib.Path, number: int) -> pathlib.Path:
    path = artifacts / "Trainer" / "model" / str(number)
    path.mkdir(parents=True)
    return path


@pytest.mark.parametrize("lost", ["removed", "emptied"])
def test_a_new_store_does_not_reuse_the_ids_of_existing_artifacts(file, tmp_path, lost):
    artifacts = tmp_path / "artifacts"
    artifact(artifacts, 41)
    system = artifacts / "Pusher" / ".system"
    (system / "executor_execution" / "44").mkdir(parents=True)
    (system / "driver_execution" / "1795885049233254").mkdir(parents=True)
    file.unlink()
    if lost == "emptied":
        file.touch()
    (note,) = metadata_store.prepare(file, artifacts)
    assert note == (
        "metadata.sqlite was removed or replaced by an older one: the outputs of earlier runs in "
        "artifacts/ stay, but are not used again"
    )
    assert new_execution(file) == 45
    assert metadata_store.prepare(file, artifacts) == []


def test_a_store_from_a_backup_continues_after_the_highest_id(file, tmp_path):
    artifact(tmp_path / "artifacts", 9)
    assert len(metadata_store.prepare(file, tmp_path / "artifacts")) == 1
    assert new_execution(file) == 10


def test_a_store_that_knows_all_artifacts_is_left_alone(file, tmp_path):
    artifact(tmp_path / "artifacts", 2)
    before = file.read_bytes()
    assert metadata_store.prepare(file, tmp_path / "artifacts") == []
    assert file.read_bytes() == before
    assert metadata_store.prepare(tmp_path / "none", tmp_path / "no artifacts") == []
    assert not (tmp_path / "none").exists()


def test_a_moved_workspace_uses_its_own_artifacts(file, tmp_path):
    here = tmp_path / "moved [v2]" / "artifacts"
    mine = artifact(here, 2)
    elsewhere = "/old/place/artifacts/Trainer/model/99"
    for uri in ("/old/place/artifacts/Trainer/model/2", elsewhere, "gs://bucket/x", str(mine)):
        put_artifact(file, uri)
    note = metadata_store.adopt(file, here)
    assert note == "this workspace was at /old/place before; its 1 artifacts are used from here now"
    assert uris(file)[1:] == [str(mine), elsewhere, "gs://bucket/x", str(mine)]
    assert metadata_store.adopt(file, here) is None
