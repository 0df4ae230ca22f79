"""Fingerprints of code: TFX's cache sees only the names of our functions, not what they do."""

import hashlib
import importlib.util
import pathlib
from collections.abc import Iterable


def of_modules(*names: str, files: Iterable[pathlib.Path] = ()) -> str:
    """A fingerprint of the sources of modules; of a package, of every module in it.

    Args:
        names: dotted names of modules and packages.
        files: more sources.

    Raises:
        ModuleNotFoundError: there is no such module.
    """
    digest = hashlib.sha256()
    for path in sorted({path for name in names for path in _sources(name)} | set(files)):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def sources_below(folder: pathlib.Path) -> list[pathlib.Path]:
    """Python files in a folder and those below it, but not in workspaces and hidden folders."""
    return [
        path
        for path in sorted(folder.rglob("*.py"))
        if not any(
            part.startswith(".") or part == "workspace" for part in path.relative_to(folder).parts
        )
    ]


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
