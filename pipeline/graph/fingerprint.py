"""Fingerprints of code for TFX's cache, which sees only the names of our functions."""

import hashlib
import importlib.util
import os
import pathlib
from collections.abc import Collection, Iterable, Iterator

from models import file_digest

_LARGE_BYTES = 1 << 28
"""Larger files are identified by size and modification time, without reading them."""
_NOT_CODE = ("workspace", "__pycache__")


def of_modules(*names: str) -> str:
    """Returns a fingerprint of the sources of modules, and of all modules in packages.

    Args:
        names: dotted names of modules and packages.

    Raises:
        ModuleNotFoundError: a module does not exist.
    """
    digest = hashlib.sha256()
    for path in sorted({path for name in names for path in _sources(name)}):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def of_folder(folder: pathlib.Path, but: Collection[pathlib.Path] = ()) -> str:
    """Returns a fingerprint of a folder's files of any kind, since code in it may read them.

    Hidden files and folders, workspaces, virtual environments and `__pycache__` are left out.

    Args:
        folder: the folder, with its subfolders.
        but: files and folders to leave out.
    """
    digest = hashlib.sha256()
    for path in _files_below(folder, {path.resolve() for path in but}):
        digest.update(f"{path.relative_to(folder)}\0".encode(errors="surrogateescape"))
        digest.update(_content(path))
    return digest.hexdigest()[:16]


def _files_below(folder: pathlib.Path, but: Collection[pathlib.Path]) -> Iterator[pathlib.Path]:
    for root, folders, names in os.walk(folder):
        parent = pathlib.Path(root)
        folders[:] = sorted(
            name for name in folders if parent / name not in but and not _is_of_runs(parent / name)
        )
        for name in sorted(names):
            path = parent / name
            if not name.startswith(".") and path.resolve() not in but and path.is_file():
                yield path


def _is_of_runs(folder: pathlib.Path) -> bool:
    """Returns whether a folder holds the output of runs or tools."""
    return (
        folder.name.startswith(".")
        or folder.name in _NOT_CODE
        or (folder / ".lock").exists()  # a workspace by another name
        or (folder / "pyvenv.cfg").exists()
    )


def _content(path: pathlib.Path) -> bytes:
    status = path.stat()
    if status.st_size > _LARGE_BYTES:
        return f"{status.st_size} {status.st_mtime_ns}".encode()
    return file_digest.sha256(path)


def _sources(name: str) -> Iterable[pathlib.Path]:
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"no module named {name}", name=name)
    if spec.submodule_search_locations:  # a package, with or without an __init__.py
        return [
            path
            for location in spec.submodule_search_locations
            for path in pathlib.Path(location).rglob("*.py")
        ]
    return [pathlib.Path(spec.origin)] if spec.origin else []
