"""The checksums of an export: whether the files that are to be used are those that were exported.

Without TensorFlow, whose import takes seconds: `predict` looks here before it loads a model.
"""

import hashlib
import json
from collections.abc import Iterator
from importlib import metadata

from etils import epath

FILE_NAME = "manifest.json"
"""Its name in an export's `assets.extra/`."""

IDENTITY = "identity.json"
"""Beside it: the training and the checkpoint that an export was made of."""

GRAPH = "saved_model.pb"
"""TensorFlow's name of a SavedModel's graph; nothing loads a directory without one."""

NO_CHECKSUMS = "has no checksums (assets.extra/manifest.json)"

_EXTRA = "assets.extra"
_BLOCK = 1 << 20
_LIBRARIES = ("tensorflow", "tfx")


def write(export: epath.Path) -> None:
    """Writes down the SHA-256 of every file of an export, and the versions that made it."""
    content = {
        "files": {name: _sha256(export / name) for name in sorted(_files(export))},
        "versions": {library: metadata.version(library) for library in _LIBRARIES},
    }
    (export / _EXTRA).mkdir(parents=True, exist_ok=True)
    (export / _EXTRA / FILE_NAME).write_text(json.dumps(content, indent=2))


def digest(export: epath.Path) -> str:
    """The SHA-256 of an export's checksums, which tells any two exports apart; empty without."""
    file = export / _EXTRA / FILE_NAME
    return _sha256(file) if file.is_file() else ""


def damage(export: epath.Path, without: str = "") -> str:
    """Compares the files of an export with its checksums.

    Args:
        export: a SavedModel's directory.
        without: a file that may be missing yet.

    Returns:
        What is wrong, as the end of a sentence about the export; empty if it is whole.
    """
    file = export / _EXTRA / FILE_NAME
    if not file.is_file():
        return NO_CHECKSUMS
    try:
        expected = json.loads(file.read_text(encoding="utf-8"))["files"]
        found = set(_files(export))
        wrong = [
            *(f"{name} is missing" for name in sorted(set(expected) - found - {without})),
            *(f"{name} was not exported with it" for name in sorted(found - set(expected))),
            *(
                f"{name} is not as it was exported (SHA-256)"
                for name in sorted(found & set(expected))
                if _sha256(export / name) != expected[name]
            ),
        ]
    except OSError as error:
        return f"is damaged: cannot be read: {error.strerror or error}"
    except (ValueError, KeyError, TypeError):
        return f"is damaged: {_EXTRA}/{FILE_NAME} cannot be read"
    if not wrong:
        return ""
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"is damaged: {wrong[0]}{more}"


def _files(export: epath.Path) -> Iterator[str]:
    """Names of all files but the checksums' own; hidden ones are a file manager's, or NFS's."""
    for folder, _, names in export.walk():
        for name in names:
            path = (folder / name).relative_to(export)
            is_own = str(path) == f"{_EXTRA}/{FILE_NAME}"
            if name and not name.startswith(".") and not is_own and (export / path).is_file():
                yield str(path)


def _sha256(file: epath.Path) -> str:
    found = hashlib.sha256()
    with file.open("rb") as content:
        while block := content.read(_BLOCK):
            found.update(block)
    return found.hexdigest()
