"""The CSV file of predictions: the table's columns, followed by the predicted ones."""

import contextlib
import csv
import itertools
import os
import pathlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from models.errors import UserError


def check(target: pathlib.Path, source: pathlib.Path, paths: Sequence[str]) -> None:
    """Raises `UserError` if the output would replace a file of the input or be read as one."""
    if target.resolve() in {pathlib.Path(path).resolve() for path in paths}:
        raise UserError(f"--out {target}: is the input itself; name another file")
    if target.is_dir():
        raise UserError(f"--out {target}: is a folder; name a file in it")
    if source.is_dir() and source.resolve() in target.resolve().parents:
        raise UserError(f"--out {target}: is in the folder of the input; name a file elsewhere")


class Writer:
    """Writer of an open output file.

    Attributes:
        rows: the number of rows written.
        notes: a note on each predicted column whose name was already taken.
    """

    def __init__(self, sink: Any, header: Sequence[str]):
        self._writer = csv.writer(sink, lineterminator="\n")
        self._header = header
        self.rows = 0
        self.notes: list[str] = []

    def write(self, texts: Sequence[pa.Array], predicted: Mapping[str, Sequence[str]]) -> None:
        """Writes rows: all columns of the table as text, and the predicted columns by name."""
        if not self.rows:
            names = _output_names(self._header, predicted)
            self.notes = [
                f"the input already has a column {name}; the new one is called {new}"
                for name, new in zip(predicted, names)
                if name != new
            ]
            self._writer.writerow([*self._header, *names])
        columns = [column.to_pylist() for column in texts]
        self._writer.writerows(zip(*columns, *predicted.values()))
        self.rows += len(columns[0])


def _output_names(header: Sequence[str], outputs: Iterable[str]) -> list[str]:
    """Returns the names of the output columns, with a number appended to names already taken."""
    names: list[str] = []
    for output in outputs:
        taken = {*header, *names}
        numbered = (f"{output}_{suffix}" for suffix in itertools.count(2))
        names.append(next(n for n in itertools.chain([output], numbered) if n not in taken))
    return names


@contextlib.contextmanager
def opened(target: pathlib.Path, header: Sequence[str]) -> Iterator[Writer]:
    """Context manager: a writer of a file that appears under its name once it is complete.

    Raises:
        UserError: the file cannot be written.
    """
    partial = target.with_name(target.name + ".partial")
    try:
        with open(partial, "w", newline="", encoding="utf-8") as sink:
            yield Writer(sink, header)
        os.replace(partial, target)
    except OSError as error:
        raise UserError(f"--out {target}: cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
