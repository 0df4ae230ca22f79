"""Fingerprints of code: TFX's cache sees only the names of our functions, not what they do."""

import hashlib
import importlib.util
import os
import pathlib
from collections.abc import Collection, Iterable, Iterator

_LARGE_BYTES = 1 << 28
"""Files larger than this count by their size and time, which a second look need not read."""
_BLOCK_BYTES = 1 << 20
_NOT_CODE = ("workspace", "__pycache__")


def of_modules(*names: str) -> str:
    """A fingerprint of the sources of modules; of a package, of every module in it.

    Args:
        names: dotted names of modules and packages.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    digest = hashlib.sha256()
    for path in sorted({path for name in names for path in _sources(name)}):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def of_folder(folder: pathlib.Path, but: Collection[pathlib.Path] = ()) -> str:
    """A fingerprint of all that code in a folder may read there, whatever kind of file it is.

    Hidden files and folders, workspaces, virtual environments and what Python compiles are left
    out.

    Args:
        folder: the folder; those below it count too.
        but: files and folders to leave out.
    """
    digest = hashlib.sha256()
    for path in _files_below(folder, {path.resolve() for path in but}):
        digest.update(f"{path.relative_to(folder)}\0".encode(errors="surrogateescape"))
        digest.update(_content(path))
    return digest.hexdigest()[:16]


def _files_below(folder: pathlib.Path, but: Collection[pathlib.Path]) -> Iterator[pathlib.Path]:
    for root, folders, names in os.walk(folder):
        place = pathlib.Path(root)
        folders[:] = sorted(
            name for name in folders if place / name not in but and not _is_of_runs(place / name)
        )
        for name in sorted(names):
            path = place / name
            if not name.startswith(".") and path.resolve() not in but and path.is_file():
                yield path


def _is_of_runs(folder: pathlib.Path) -> bool:
    """Whether a folder holds what runs and tools have made."""
    return (
        folder.name.startswith(".")
        or folder.name in _NOT_CODE
        or (folder / ".lock").exists()  # a workspace by another name
        or (folder / "pyvenv.cfg").exists()
    )


def _content(path: pathlib.Path) -> bytes:
    found = path.stat()
    if found.st_size > _LARGE_BYTES:
        return f"{found.st_size} {found.st_mtime_ns}".encode()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.digest()


def _sources(name: str) -> Iterable[pathlib.Path]:
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"no module named {name}", name=name)
    if spec.submodule_search_locations:  # a package, with or without an __init__.py
        return [
            path
            for place in spec.submodule_search_locations
            for path in pathlib.Path(place).rglob("*.py")
        ]
    return [pathlib.Path(spec.origin)] if spec.origin else []
