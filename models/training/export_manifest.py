"""Checksums of an export, which show whether its files are still as they were exported.

This module does not import TensorFlow, which takes seconds: `predict` checks an export before it
loads the model.
"""

import json
from collections.abc import Iterator
from importlib import metadata

from etils import epath

from models import file_digest

FILE_NAME = "manifest.json"
"""Name of the file with the checksums in an export's `assets.extra/`."""

IDENTITY = "identity.json"
"""Name of the file beside it that names the export's training and checkpoint."""

GRAPH = "saved_model.pb"
"""TensorFlow's name for the graph of a SavedModel; a directory without it cannot be loaded."""

EXTRA = "assets.extra"
"""TensorFlow's name for the directory of further files in a SavedModel."""

NO_CHECKSUMS = "has no checksums (assets.extra/manifest.json)"

_LIBRARIES = ("tensorflow", "tfx")


def write(export: epath.Path) -> None:
    """Writes the SHA-256 of every file of an export, and the versions of the libraries."""
    content = {
        "files": {name: file_digest.sha256(export / name).hex() for name in sorted(_files(export))},
        "versions": {library: metadata.version(library) for library in _LIBRARIES},
    }
    (export / EXTRA).mkdir(parents=True, exist_ok=True)
    (export / EXTRA / FILE_NAME).write_text(json.dumps(content, indent=2))


def digest(export: epath.Path) -> str:
    """Returns the SHA-256 of an export's checksums, which identifies it; empty without any."""
    file = export / EXTRA / FILE_NAME
    return file_digest.sha256(file).hex() if file.is_file() else ""


def damage(export: epath.Path, without: str = "") -> str:
    """Compares the files of an export with its checksums.

    Args:
        export: a SavedModel's directory.
        without: a file that may still be missing.

    Returns:
        What is wrong, as the end of a sentence about the export; empty if nothing is.
    """
    file = export / EXTRA / FILE_NAME
    if not file.is_file():
        return NO_CHECKSUMS
    try:
        expected = json.loads(file.read_text(encoding="utf-8"))["files"]
        present = set(_files(export))
        wrong = [
            *(f"{name} is missing" for name in sorted(set(expected) - present - {without})),
            *(f"{name} was not exported with it" for name in sorted(present - set(expected))),
            *(
                f"{name} differs from what was exported (SHA-256)"
                for name in sorted(present & set(expected))
                if file_digest.sha256(export / name).hex() != expected[name]
            ),
        ]
    except OSError as error:
        return f"is damaged: cannot be read: {error.strerror or error}"
    except (ValueError, KeyError, TypeError):
        return f"is damaged: {EXTRA}/{FILE_NAME} cannot be read"
    if not wrong:
        return ""
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    return f"is damaged: {wrong[0]}{more}"


def _files(export: epath.Path) -> Iterator[str]:
    """Yields the names of all files except the manifest and hidden ones (of file managers, NFS)."""
    for folder, _, names in export.walk():
        for name in names:
            path = (folder / name).relative_to(export)
            is_own = str(path) == f"{EXTRA}/{FILE_NAME}"
            if name and not name.startswith(".") and not is_own and (export / path).is_file():
                yield str(path)
