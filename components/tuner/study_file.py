"""The file of a study: SQLite needs locks and in-place changes, which object stores lack."""

import contextlib
import pathlib
import tempfile
from collections.abc import Callable, Iterator

from apache_beam.io.filesystems import FileSystems
from etils import epath


@contextlib.contextmanager
def local(file: epath.Path) -> Iterator[tuple[pathlib.Path, Callable[[], None]]]:
    """Context manager: provides a local copy of a file that may be in an object store.

    If the file is on a disk, it is used directly and the function does nothing.

    Args:
        file: the file of the study, which need not exist yet.

    Yields:
        The local file, and a function that copies its current content back.
    """
    if FileSystems.get_scheme(str(file)) is None:
        yield pathlib.Path(file), lambda: None
        return
    with tempfile.TemporaryDirectory() as folder:
        local_file = epath.Path(folder) / file.name
        if file.exists():
            file.copy(local_file)

        def keep() -> None:
            local_file.copy(file, overwrite=True)

        yield pathlib.Path(local_file), keep
