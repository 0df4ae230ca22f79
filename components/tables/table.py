"""Types shared by the readers of all formats: kinds of columns, pieces of files, bad rows."""

import dataclasses
import enum
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa

from models.errors import UserError


class BadTable(UserError):
    """The table cannot be read; the message is for the user, in one line."""


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
                f"column {name} holds numbers beyond 16,777,216 with fractions among them; they "
                "are rounded to 32 bits"
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


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a file that can be read independently, or a whole file that has no such parts.

    Attributes:
        file: path of the file.
        split: index of the input split that the file belongs to.
        number: index of the piece within its file.
        start, end: range of bytes (for Parquet: of row groups); the end is None for a whole file.
        size: size in bytes; None if not known before reading.
        line: number of its first line (for Parquet and TFRecords: row), counted from 1.
        rows: number of rows; None if not known before reading.
    """

    file: str
    split: int
    number: int
    start: int
    end: int | None
    size: int | None = None
    line: int = 1
    rows: int | None = None


@dataclasses.dataclass(frozen=True)
class Rows:
    """Some rows as features.

    Attributes:
        found: number of rows in the file, good or bad.
        batch: the good rows: columns of lists, as `encoder.encode` takes them.
        bad: the bad rows.
        records: the serialized examples, if the file has them already.
    """

    found: int
    batch: pa.RecordBatch
    bad: Sequence[BadRow] = ()
    records: pa.LargeBinaryArray | None = None


@dataclasses.dataclass(frozen=True)
class Scan:
    """Some rows with their original values, for profiling a table.

    Attributes:
        held: what the columns hold in these rows.
        columns: the good rows: numbers if all values of a column are, otherwise text or, in
            Parquet, lists.
        bad: the bad rows.
        place_of: function that returns where the row with an index is: `houses.csv:12`.
    """

    held: Mapping[str, Held]
    columns: Mapping[str, pa.Array]
    bad: Sequence[BadRow]
    place_of: Callable[[int], str]


@dataclasses.dataclass(frozen=True)
class TextRows:
    """Some rows as features, with the text of all their columns.

    Attributes:
        rows: the rows as features.
        texts: all columns of the good rows as text, as in a CSV; null where empty.
        place_of: function that returns where the row with an index is: `houses.csv:12`.
    """

    rows: Rows
    texts: Sequence[pa.Array]
    place_of: Callable[[int], str]


class Source(Protocol):
    """The files of a table in one format."""

    @property
    def dates(self) -> Collection[str]:
        """The columns whose type is a date, or a time with a date."""

    @property
    def notes(self) -> Sequence[str]:
        """Notes on what the reader decided for the user, one line each."""

    @property
    def kinds(self) -> Kinds | None:
        """The kinds of the columns; None if they have to be inferred."""

    def pieces(self, file: str, split: int) -> Iterator[Piece]:
        """Yields the pieces of a file."""

    def infer(self, piece: Piece) -> tuple[dict[str, Held], BadRow | None]:
        """Returns what the columns hold in a piece, and its first bad row, if any."""

    def read(self, piece: Piece, kinds: Kinds) -> Iterator[Rows]:
        """Yields the rows of a piece, a few megabytes at a time."""


class TableSource(Source, Protocol):
    """The files of a table with a fixed set of columns: all formats but TFRecords."""

    @property
    def names(self) -> Sequence[str]:
        """The names of the columns."""

    def read_with_text(self, piece: Piece, kinds: Kinds) -> Iterator[TextRows]:
        """Yields the rows of a piece, with the text of all columns."""

    def scan(self, file: str, texts: Collection[str]) -> Iterator[Scan]:
        """Yields the rows of a file, a few megabytes at a time.

        Args:
            file: path of the file.
            texts: columns to return as text, whatever they hold; it may grow between blocks.
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
