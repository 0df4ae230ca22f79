"""The interface to a table in any format: kinds of columns, pieces of files, blocks, bad rows."""

import dataclasses
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Literal, Protocol

import pyarrow as pa

from components.tables.column_kinds import Held, Kinds
from models.errors import UserError


class BadTable(UserError):
    """The table cannot be read; the message is for the user, in one line."""


NO_ROWS = "has no rows; expected at least one"
"""What is wrong with a table that has columns only."""


@dataclasses.dataclass(frozen=True)
class Reading:
    """Settings for reading the files of a table.

    Attributes:
        format: file format.
        encoding: text encoding, for CSV.
        missing: words that mark a missing value, in addition to the empty text.
        classes: columns of CSV that hold classes: their text is kept as it is, unless all values
            are whole numbers as Python writes them.
    """

    format: Literal["csv", "parquet", "tfrecord"]
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    missing: Sequence[str] = ()
    classes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be read.

    Attributes:
        file, line: where the row is; lines are counted from 1.
        column: the column that is wrong; empty if the whole row is.
        reason: what was found and expected.
        content: the row as written in the file.
    """

    file: str
    line: int
    column: str
    reason: str
    content: str

    def __str__(self):
        column = f"{self.column}: " if self.column else ""
        return f"{self.file}:{self.line}: {column}{self.reason}"


def shown(content: str) -> str:
    """Formats content for a message, on one line and shortened to 80 characters."""
    return repr(content if len(content) <= 80 else f"{content[:79]}…")


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun: `1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a file that can be read independently, or a whole file that has no such parts.

    Attributes:
        file: path of the file.
        split: index of the input split that the file belongs to.
        index: index of the piece within its file.
        start, end: range of bytes (for Parquet: of row groups); the end is None for a whole file.
        size: size in bytes; None if not known before reading.
        line: number of its first line (for Parquet and TFRecords: row), counted from 1.
        rows: number of rows; None if not known before reading.
    """

    file: str
    split: int
    index: int
    start: int
    end: int | None
    size: int | None = None
    line: int = 1
    rows: int | None = None

    @classmethod
    def whole(cls, file: str, split: int = 0) -> "Piece":
        """Returns a whole file as one piece."""
        return cls(file, split, 0, 0, None)


@dataclasses.dataclass(frozen=True)
class Rows:
    """The rows of a block as features.

    Attributes:
        count: number of rows in the file, good or bad.
        batch: the good rows: columns of lists, as `encoder.encode` takes them.
        bad: the bad rows.
        records: the serialized examples, if the file has them already.
    """

    count: int
    batch: pa.RecordBatch
    bad: Sequence[BadRow] = ()
    records: pa.LargeBinaryArray | None = None

    @property
    def good(self) -> int:
        """The number of good rows, also where the batch has no columns."""
        return self.count - len(self.bad)


@dataclasses.dataclass(frozen=True)
class TextRows:
    """The rows of a block as features, with the text of all their columns.

    Attributes:
        rows: the rows as features.
        texts: all columns of the good rows as text, as in a CSV; null where empty.
        location: function from the index of a good row to where it is: `houses.csv:12`.
    """

    rows: Rows
    texts: Sequence[pa.Array]
    location: Callable[[int], str]


@dataclasses.dataclass(frozen=True)
class Scan:
    """The rows of a block with their original values, for profiling a table.

    Attributes:
        held: what the columns hold in these rows.
        columns: the good rows: numbers if all values of a column are, otherwise text or, in
            Parquet, lists.
        bad: the bad rows.
        location: function from the index of a good row to where it is: `houses.csv:12`.
    """

    held: Mapping[str, Held]
    columns: Mapping[str, pa.Array]
    bad: Sequence[BadRow]
    location: Callable[[int], str]


class Block(Protocol):
    """Some rows of a table, a few megabytes; each call converts them again."""

    def features(self, kinds: Kinds) -> Rows:
        """Returns the rows as features, for the columns in `kinds` only."""

    def features_and_texts(self, kinds: Kinds) -> TextRows:
        """Returns the rows as `features` does, and the text of all columns."""

    def scan(self, texts: Collection[str]) -> Scan:
        """Returns the rows with their original values; the columns in `texts` as text."""


class Table(Protocol):
    """The files of a table."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns; for TFRecords, those of the first records."""

    @property
    def dates(self) -> Collection[str]:
        """The columns whose type is a date, or a time with a date."""

    @property
    def notes(self) -> Sequence[str]:
        """Notes on what the reader decided for the user, one line each."""

    @property
    def kinds(self) -> Kinds | None:
        """The kinds of the columns; None if they have to be inferred."""

    def pieces(self, file: str, split: int = 0) -> Iterator[Piece]:
        """Yields the pieces of a file, which can be read independently."""

    def infer(self, piece: Piece) -> tuple[dict[str, Held], BadRow | None]:
        """Returns what the columns hold in a piece, and its first bad row, if any."""

    def blocks(self, piece: Piece, columns: Collection[str] | None = None) -> Iterator[Block]:
        """Yields the blocks of a piece.

        Args:
            piece: a piece, or a whole file.
            columns: the columns that are used; by default all.
        """
