"""Finding and opening the files of a table.

Local files need no slow import; others go through the file systems of Beam and TFX.
"""

import glob
import gzip
import io
import os
import pathlib
import zlib
from typing import BinaryIO, cast

from components.tables import file_kind
from components.tables.table import BadTable

RECREATE = "copy or create the file again"
"""What to do about a damaged file."""


def located(path: pathlib.Path) -> tuple[pathlib.Path, str]:
    """Splits a local path into a folder and a pattern of files in it.

    The path is a file, a folder, a folder of folders named `column=value`, or a pattern. Existing
    files and folders are not taken for patterns: `[v1]/part-*.csv` is in `[v1]` if that exists.
    """
    if path.is_dir():
        return path, "/".join(["*"] * (1 + _depth(path)))
    if path.exists():
        return path.parent, glob.escape(path.name)
    folder = next(
        parent for parent in path.parents if parent.is_dir() or not set(str(parent)) & set("*?[{")
    )
    return folder, path.relative_to(folder).as_posix()


def _depth(folder: pathlib.Path) -> int:
    """Returns how many levels of partition folders (`town=Ash`) are above the files."""
    inner = sorted(path for path in folder.glob("[!._]*=*") if path.is_dir())
    return 1 + _depth(inner[0]) if inner else 0


def matching(folder: str, pattern: str) -> list[str]:
    """Lists the files in a folder that match a pattern, sorted.

    As in Spark, Hive and Arrow, files and folders whose names begin with a dot or an underscore are
    skipped (`_SUCCESS`, `.part-0.csv.crc`, `.DS_Store`), unless that part of the pattern begins
    with the same character.
    """
    if is_local(folder):
        matches = glob.glob(os.path.join(glob.escape(folder), pattern))
        files = [path for path in matches if os.path.isfile(path)]
    else:
        from tfx.dsl.io import fileio

        matches = [str(path) for path in fileio.glob(os.path.join(folder, pattern))]
        files = [path for path in matches if not fileio.isdir(path)]
    depth = pattern.count("/") + 1
    return sorted(path for path in files if not _is_hidden(path.split("/")[-depth:], pattern))


def why_none(path: str) -> str:
    """Returns why a path, a pattern or a folder has no files of a table, and what to do."""
    if os.path.isdir(path):
        inner = sorted(entry.name for entry in os.scandir(path) if entry.is_dir())
        if inner:
            return (
                f"{path}: has only folders, such as {inner[0]}; name the files by a pattern, such "
                f"as {path}/*/*"
            )
        return f"{path}: the folder is empty"
    return f"{path}: no file matches" if set(path) & set("*?[{") else f"{path}: no such file"


def _is_hidden(parts: list[str], pattern: str) -> bool:
    return any(
        part[:1] in (".", "_") and part[:1] != pattern_part[:1]
        for part, pattern_part in zip(parts, pattern.split("/"))
    )


def is_local(path: str) -> bool:
    """Returns whether a path is local, not a URL."""
    return "://" not in path


def is_zipped(path: str) -> bool:
    """Returns whether a file is gzipped, whatever its name."""
    with _opened(path) as file:
        return _begins_zipped(file.read(file_kind.HEAD_BYTES))


def _begins_zipped(head: bytes) -> bool:
    # A TFRecord of 559,903 bytes also begins like gzip; the checksum of its length tells.
    return head.startswith(file_kind.GZIP) and not file_kind.is_tfrecord(head)


def is_parquet(path: str) -> bool:
    """Returns whether a file begins like Parquet."""
    with _opened(path) as file:
        return file.read(4) == file_kind.PARQUET


def is_empty(path: str) -> bool:
    """Returns whether a file has no bytes at all, as Spark writes for a part without rows."""
    with _opened(path) as file:
        return not file.read(1)


def open_file(path: str) -> BinaryIO:
    """Opens a file, gzipped or not, on any file system that Beam supports.

    Reading a gzipped file that is truncated or damaged raises `BadTable`.
    """
    file = _opened(path)
    head = file.read(file_kind.HEAD_BYTES)
    file.seek(0)
    # `_Unzipped` lacks some methods of `BinaryIO`, but none that Arrow and the readers call.
    return cast(BinaryIO, _Unzipped(file, path)) if _begins_zipped(head) else file


def check_kind(path: str, wanted: file_kind.Format) -> None:
    """Checks from its first bytes that a file may be in the wanted format.

    Raises:
        BadTable: the file is something else.
    """
    # Parquet is compressed inside, and a gzipped one would not be seekable.
    with _opened(path) if wanted == "parquet" else open_file(path) as file:
        head = file.read(file_kind.HEAD_BYTES)
    if reason := file_kind.refusal(head, wanted):
        raise BadTable(f"{path}: {reason}")


def _opened(path: str) -> BinaryIO:
    if is_local(path):
        return open(path, "rb")
    from apache_beam.io import filesystem, filesystems

    uncompressed = filesystem.CompressionTypes.UNCOMPRESSED  # `open_file` unzips
    return filesystems.FileSystems.open(path, compression_type=uncompressed)


class _Unzipped(io.BufferedIOBase):
    """The content of a gzipped file; Beam's own reader does not notice that a file is truncated."""

    def __init__(self, file: BinaryIO, path: str):
        super().__init__()
        self._file = file
        self._content = gzip.GzipFile(fileobj=file)
        self._path = path

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        try:
            return self._content.read(size)
        except EOFError:
            raise BadTable(f"{self._path}: is truncated; {RECREATE}") from None
        except (zlib.error, gzip.BadGzipFile) as error:
            raise BadTable(f"{self._path}: is damaged ({error}); {RECREATE}") from None

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._content.seek(offset, whence)

    def close(self) -> None:
        self._content.close()
        self._file.close()
        super().close()
