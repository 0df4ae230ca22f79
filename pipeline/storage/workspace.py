"""The workspace: one directory for everything that the runs of a problem produce."""

import contextlib
import dataclasses
import errno
import fcntl
import hashlib
import os
import pathlib
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator

from models.errors import UserError
from pipeline.storage import metadata_store

_PLAIN = re.compile(r"[A-Za-z0-9/._+=~-]*")
"""Paths that no library misreads as a pattern, URL or format string, unlike `[v1]` or `100%`."""


@dataclasses.dataclass(frozen=True)
class Workspace:
    """The paths in a workspace; its directories are created on first use."""

    root: pathlib.Path

    @property
    def artifacts(self) -> pathlib.Path:
        """TFX's artifacts."""
        return self.root / "artifacts"

    @property
    def metadata(self) -> pathlib.Path:
        """TFX's metadata store (SQLite)."""
        return self.root / "metadata.sqlite"

    @property
    def training(self) -> pathlib.Path:
        """Checkpoints and summaries, one directory per training."""
        return self.root / "training"

    @property
    def serving(self) -> pathlib.Path:
        """Pushed models, one directory per version."""
        return self.root / "serving"

    @property
    def logs(self) -> pathlib.Path:
        """Log files, one per call of a command."""
        return self.root / "logs"

    @property
    def scratch(self) -> pathlib.Path:
        """Temporary files, one directory per running process."""
        return self.root / "tmp"

    def new_log(self, command: str) -> pathlib.Path:
        """Returns the path of the log for one call of a command.

        Raises:
            UserError: the workspace cannot be written.
        """
        self._make()
        return self.logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{command}.log"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Context manager: locks the workspace for one run and checks its metadata store.

        Raises:
            UserError: another run holds the lock, the workspace cannot be written, or its metadata
                store cannot be used.
        """
        self._make()
        with open(self.root / ".lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"workspace {self.root}: another run is using it; wait for it, or choose "
                    "another with --workspace"
                ) from None
            except OSError as error:
                raise self._unusable(self.root / ".lock", error) from None
            metadata_store.check(self.metadata)
            yield

    @contextlib.contextmanager
    def temporary(self) -> Iterator[pathlib.Path]:
        """Context manager: makes a new directory the default for this process's temporary files.

        TensorFlow, Beam and TFX leave files behind, so the directory is removed at the end.
        Directories left by killed processes are removed on entry.

        Raises:
            UserError: the workspace cannot be written.
        """
        self._make()
        with contextlib.ExitStack() as held:
            try:
                self.scratch.mkdir(exist_ok=True)
                with _flock(self.scratch, fcntl.LOCK_EX):
                    _remove_unused(self.scratch)
                    directory = pathlib.Path(tempfile.mkdtemp(dir=self.scratch))
                    held.enter_context(_flock(directory, fcntl.LOCK_EX))
            except OSError as error:
                raise self._unusable(self.scratch, error) from None
            kept = os.environ.get("TMPDIR")
            os.environ["TMPDIR"] = tempfile.tempdir = str(directory)
            try:
                yield directory
            finally:
                shutil.rmtree(directory, ignore_errors=True)
                tempfile.tempdir = None
                os.environ.pop("TMPDIR")
                if kept is not None:
                    os.environ["TMPDIR"] = kept

    @contextlib.contextmanager
    def plain(self) -> Iterator["Workspace"]:
        """Context manager: yields this workspace under a path without special characters.

        TensorFlow, Beam and TFX find files by patterns, in which `[`, `*` and `?` in a directory's
        name are special too, and not all of them allow escaping. If the path has such characters,
        a link in the system's temporary directory leads to it inside the context. The link's name
        depends on the path alone, so that a later run finds artifacts under the same path.

        Raises:
            UserError: the link cannot be made.
        """
        if _PLAIN.fullmatch(str(self.root)):
            yield self
            return
        link = _link_of(self.root)
        try:
            _make_private(link.parent)
            _make_link(link, self.root)
        except OSError as error:
            raise UserError(
                f"workspace {self.root}: its path has characters that TensorFlow and TFX read as "
                f"patterns, and the link {link} to it cannot be made "
                f"({error.strerror}); choose another with --workspace"
            ) from None
        try:
            yield Workspace(link)
        finally:
            with contextlib.suppress(OSError):
                link.unlink()
                link.parent.rmdir()

    def plain_path(self, folder: pathlib.Path) -> pathlib.Path:
        """Returns a folder's path, or a link in the workspace if the path has special characters.

        Raises:
            OSError: the link cannot be made.
        """
        if _PLAIN.fullmatch(str(folder)):
            return folder
        link = self.root / ".data"
        _make_link(link, folder)
        return link

    def _make(self) -> None:
        folders = [self.logs, self.artifacts, self.training, self.serving, self.scratch]
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            (self.root / ".lock").touch()
        except OSError as error:
            location = next(
                (path for path in (*folders, self.root) if _is_blocked(path)), self.root
            )
            raise self._unusable(location, error) from None
        for folder in folders:
            if _is_blocked(folder):
                raise self._unusable(folder, OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)))
            if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
                raise self._unusable(folder, OSError(errno.EACCES, os.strerror(errno.EACCES)))

    def _unusable(self, path: pathlib.Path, error: OSError) -> UserError:
        what = "" if path == self.root else f"{path.relative_to(self.root)} "
        if path.is_symlink() and not path.exists():
            return UserError(
                f"workspace {self.root}: {what}leads to {os.readlink(path)}, which does not "
                "exist; restore that, remove the link, or choose another with --workspace"
            )
        if _is_blocked(path):
            return UserError(
                f"workspace {self.root}: {what}is a file, expected a folder; move it away, or "
                "choose another with --workspace"
            )
        return UserError(
            f"workspace {self.root}: {what}cannot be written: {error.strerror}; choose another "
            "with --workspace"
        )


@contextlib.contextmanager
def plain_folder(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """Context manager: yields a path of a folder without special characters.

    TensorFlow uses the path of a model's variables as a pattern, which finds nothing below `[v1]`.
    """
    if _PLAIN.fullmatch(str(folder)):
        yield folder
        return
    with tempfile.TemporaryDirectory(dir=_plain_directory()) as holder:
        link = pathlib.Path(holder) / "link"
        link.symlink_to(folder.resolve())
        yield link


def _is_blocked(folder: pathlib.Path) -> bool:
    return os.path.lexists(folder) and not folder.is_dir()


def _link_of(root: pathlib.Path) -> pathlib.Path:
    """Returns the path of the link to a workspace: its hash, in a directory of this user."""
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:16]
    return _plain_directory() / f"workspaces-{os.getuid()}" / digest


def _plain_directory() -> pathlib.Path:
    """Returns a writable directory for temporary files whose path has no special characters."""
    candidates = ("/tmp", "/var/tmp", tempfile.gettempdir())
    usable = (path for path in candidates if os.access(path, os.W_OK) and _PLAIN.fullmatch(path))
    return pathlib.Path(next(usable, "/tmp"))


def _make_private(directory: pathlib.Path) -> None:
    """Makes a directory that no other user can change, inside one where anybody may write."""
    directory.mkdir(mode=0o700, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(errno.EPERM, f"{directory} belongs to another user")


def _make_link(link: pathlib.Path, target: pathlib.Path) -> None:
    if link.is_symlink() and os.readlink(link) != str(target):
        link.unlink()
    if not link.is_symlink():
        link.symlink_to(target)


def _remove_unused(scratch: pathlib.Path) -> None:
    """Removes the directories of processes that have ended, which no longer hold a lock on them."""
    for left in scratch.iterdir():
        with contextlib.suppress(OSError), _flock(left, fcntl.LOCK_EX | fcntl.LOCK_NB):
            shutil.rmtree(left, ignore_errors=True)


@contextlib.contextmanager
def _flock(directory: pathlib.Path, how: int) -> Iterator[None]:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)
