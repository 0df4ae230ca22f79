"""One directory holds everything that runs of a problem produced."""

import contextlib
import dataclasses
import fcntl
import pathlib
import time
from collections.abc import Iterator

from pipeline.errors import UserError


@dataclasses.dataclass(frozen=True)
class Workspace:
    """The paths below a workspace's root, which is created when it is first used."""

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
        """Checkpoints and summaries, one directory for each training."""
        return self.root / "training"

    @property
    def serving(self) -> pathlib.Path:
        """Pushed models, one directory for each version."""
        return self.root / "serving"

    @property
    def logs(self) -> pathlib.Path:
        """A log for each run."""
        return self.root / "logs"

    def new_log(self, command: str) -> pathlib.Path:
        """Path of a log for one call of a command.

        Raises:
            UserError: the workspace cannot be written.
        """
        self._make()
        return self.logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{command}.log"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Holds the workspace for one run.

        Raises:
            UserError: another run holds it, or it cannot be written.
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
            yield

    def _make(self) -> None:
        try:
            self.logs.mkdir(parents=True, exist_ok=True)
            (self.root / ".lock").touch()
        except OSError as error:
            raise UserError(
                f"workspace {self.root}: cannot be written: {error.strerror}; choose another with "
                "--workspace"
            ) from None
