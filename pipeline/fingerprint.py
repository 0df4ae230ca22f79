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


def _sources(name: str) -> Iterable[pathlib.Path]:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.origin:
        raise ModuleNotFoundError(f"no module named {name}", name=name)
    origin = pathlib.Path(spec.origin)
    return origin.parent.rglob("*.py") if origin.name == "__init__.py" else [origin]
