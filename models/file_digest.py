"""Digest of a file of any size, on a disk or in an object store."""

import hashlib
import os

from etils import epath

_BLOCK_BYTES = 1 << 20


def sha256(path: str | os.PathLike) -> bytes:
    """Returns the SHA-256 of a file's content."""
    digest = hashlib.sha256()
    with epath.Path(path).open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.digest()
