"""Beam part of `vocabularies`: it counts values and writes the most frequent ones."""

import collections
from collections.abc import Iterator, Sequence

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems
from tensorflow_transform.beam.experimental import PTransformAnalyzer

_Count = tuple[int, bytes]
"""Count of a value, and the value; a vocabulary lists these pairs in descending order."""


class Vocabularies(PTransformAnalyzer):
    """Analyzer that turns batches of text [batch, c] into the file of `vocabularies`.

    It outputs the file's path. Values of all columns are counted together, keyed by the column's
    index and the value, so there are few steps, and an engine distributes the work by value.
    """

    def __init__(self, file_name: str, most: Sequence[int], min_counts: Sequence[int]):
        """Keeps the settings.

        Args:
            file_name: name of the file to write.
            most: maximum size of each column's vocabulary.
            min_counts: minimum count of a value, for each column.
        """
        super().__init__()
        self._file_name = file_name
        self._most = most
        self._min_counts = min_counts

    def expand(self, batches):  # noqa: D102 (Beam's)
        path = FileSystems.join(self.base_temp_dir, self._file_name)
        return (
            batches
            | "Count" >> beam.FlatMap(_counts)
            | "Sum" >> beam.CombinePerKey(sum)
            | "DropRare" >> beam.Filter(_is_frequent, self._min_counts)
            | "ByColumn" >> beam.MapTuple(lambda key, count: (key[0], (count, key[1])))
            | "MostFrequent" >> beam.combiners.Top.LargestPerKey(max(self._most))
            | "AllColumns" >> beam.combiners.ToList()
            | "Write" >> beam.Map(_write, path, self._most)
        )


def _counts(batch: tuple[np.ndarray]) -> Iterator[tuple[tuple[int, bytes], int]]:
    (values,) = batch
    for column_index, column in enumerate(values.T):
        for value, count in collections.Counter(column.tolist()).items():
            yield (column_index, value), count


def _is_frequent(counted: tuple[tuple[int, bytes], int], min_counts: Sequence[int]) -> bool:
    (column_index, _), count = counted
    return count >= min_counts[column_index]


def _write(columns: list[tuple[int, list[_Count]]], path: str, most: Sequence[int]) -> np.ndarray:
    by_column = dict(columns)
    folder, _ = FileSystems.split(path)
    if not FileSystems.exists(folder):
        FileSystems.mkdirs(folder)
    with FileSystems.create(path, "application/octet-stream") as file:
        for column_index, limit in enumerate(most):
            values = [value for _, value in by_column.get(column_index, [])[:limit]]
            file.write(b"%d\t%d\n" % (column_index, len(values)))
            for index, value in enumerate(values):
                file.write(b"%d:%b\t%d\n" % (column_index, value, index))
    return np.array(path)
