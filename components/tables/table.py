"""The interface to a table in any format: kinds of columns, pieces of files, blocks, bad rows."""

import dataclasses
import enum
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa

from models.errors import UserError


class BadTable(UserError):
    """The table cannot be read; the message is for the user, in one line."""


NO_ROWS = "has no rows; expected at least one"
"""What is wrong with a table that has columns only."""


class Kind(enum.IntEnum):
    """The type of the feature that a column becomes."""

    UNKNOWN = 0
    """Nothing but missing values."""
    INT = 1
    FLOAT = 2
    BYTES = 3


Kinds = Mapping[str, Kind]


class Held(enum.IntFlag):
    """The values that a column holds; for a whole column, the union over its parts."""

    NOTHING = 0
    WHOLE = 1
    """Whole numbers, written without a decimal point or exponent."""
    POINT = 2
    """Whole numbers, written with a decimal point or an exponent."""
    FRACTION = 4
    LARGE = 8
    """Numbers beyond 2**24 that a 32-bit float may round."""
    TEXT = 16

    @classmethod
    def by(cls, kind: Kind) -> "Held":
        """Returns what a column of a known kind holds."""
        return _HELD[kind]

    @property
    def kind(self) -> Kind:
        """The kind of a column with these values.

        Whole numbers with a decimal point are floats, since the next table may have fractions,
        unless a 32-bit float would round them, as with `1600000001.0`.
        """
        if Held.TEXT in self:
            return Kind.BYTES
        if Held.FRACTION in self:
            return Kind.FLOAT
        if Held.POINT in self:
            return Kind.INT if Held.LARGE in self else Kind.FLOAT
        return Kind.INT if Held.WHOLE in self else Kind.UNKNOWN


EXPECTED = {Kind.INT: "a whole number", Kind.FLOAT: "a number"}
"""What a message says is expected in a column of numbers."""

_HELD = {
    Kind.UNKNOWN: Held.NOTHING,
    Kind.INT: Held.WHOLE,
    Kind.FLOAT: Held.FRACTION,
    Kind.BYTES: Held.TEXT,
}


def merge(parts: Iterable[Mapping[str, Held]]) -> dict[str, Held]:
    """Returns what whole columns hold, from what their parts hold."""
    merged: dict[str, Held] = {}
    for part in parts:
        for name, held in part.items():
            merged[name] = merged.get(name, Held.NOTHING) | held
    return merged


def kinds(columns: Mapping[str, Held]) -> dict[str, Kind]:
    """Returns the kinds of columns."""
    return {name: held.kind for name, held in columns.items()}


def notes(columns: Mapping[str, Held]) -> list[str]:
    """Returns notes for the user on how columns with large numbers are read, one line each."""
    lines = []
    for name, held in columns.items():
        if Held.TEXT in held or Held.LARGE not in held:
            continue
        if Held.FRACTION in held:
            lines.append(
                f"column {name} holds numbers beyond 16,777,216 and fractions; they are "
                "rounded to 32 bits"
            )
        elif Held.POINT in held:
            lines.append(
                f"column {name} holds whole numbers with a decimal point that 32 bits would round; "
                "they are read as whole numbers"
            )
    return lines


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
    """Some rows of a table, a few megabytes; each method converts them anew."""

    def features(self, kinds: Kinds) -> Rows:
        """Returns the rows as features; only of the columns that `kinds` has."""

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


def lists(column: pa.Array) -> pa.LargeListArray:
    """Returns a list for each row, with its value, or empty where it is null."""
    ends = np.cumsum(column.is_valid().to_numpy(zero_copy_only=False))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, column.drop_null())


def floats(column: pa.Array) -> pa.Array:
    """Converts numbers to 32-bit floats, rounded as in protobuf; too large ones become infinite.

    NaN becomes null, since Polars, Spark and NumPy write missing numbers as NaN.
    """
    with np.errstate(over="ignore"):
        numbers = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float32)
    missing = column.is_null().to_numpy(zero_copy_only=False) | np.isnan(numbers)
    return pa.array(numbers, mask=missing)


def feature(column: pa.Array, kind: Kind) -> pa.Array:
    """Returns the feature of a kind: a list for each row, see `lists`; nulls if it is unknown."""
    if kind == Kind.UNKNOWN:
        return pa.nulls(len(column))
    if kind == Kind.FLOAT:
        column = floats(column)
    return lists(column.cast(pa.large_binary()) if kind == Kind.BYTES else column)
