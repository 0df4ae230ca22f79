"""Where a study is kept: SQLite needs locks, and a file that it may change in the middle."""

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator

from apache_beam.io.filesystems import FileSystems
from etils import epath


@contextlib.contextmanager
def local(file: epath.Path) -> Iterator[tuple[pathlib.Path, Callable[[], None]]]:
    """A file on this machine's disk for one that may be in an object store.

    On a disk it is the file itself, which needs no keeping.

    Args:
        file: where the study is kept; there need not be one yet.

    Yields:
        The file, and a function that keeps it as it is now.
    """
    if FileSystems.get_scheme(str(file)) is None:
        yield pathlib.Path(file), lambda: None
        return
    with tempfile.TemporaryDirectory() as folder:
        here = epath.Path(folder) / file.name
        if file.exists():
            file.copy(here)

        def keep() -> None:
            here.copy(file, overwrite=True)

        yield pathlib.Path(here), keep
