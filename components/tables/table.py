"""What the readers of all formats have in common: kinds of columns, pieces of files, bad rows."""

import dataclasses
import enum
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Literal, Protocol

import numpy as np
import pyarrow as pa


class BadTable(ValueError):
    """The table cannot be read; the message is for the user, in one line."""


class Kind(enum.IntEnum):
    """What the feature made of a column holds."""

    UNKNOWN = 0
    """Nothing but missing values."""
    INT = 1
    FLOAT = 2
    BYTES = 3


Kinds = Mapping[str, Kind]


class Held(enum.IntFlag):
    """What the values of a column are; that of a whole column is the union of its parts'."""

    NOTHING = 0
    WHOLE = 1
    """Whole numbers, written as such."""
    POINT = 2
    """Whole numbers, written with a decimal point or an exponent."""
    FRACTION = 4
    LARGE = 8
    """Numbers that 32 bits would round by more than a small fraction."""
    TEXT = 16

    @classmethod
    def by(cls, kind: Kind) -> "Held":
        """What a column of a known kind holds."""
        return _HELD[kind]

    @property
    def kind(self) -> Kind:
        """What a column of such values is.

        Whole numbers with a decimal point are floats, of which the next table may have fractions,
        unless a 32-bit float would round them, as `1600000001.0`.
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
    """Returns what is to be said of how columns are read, a line each."""
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
    """How the files of a table are read.

    Attributes:
        format: of the files.
        encoding: of CSV.
        missing: words that stand for a missing value, beside the empty text.
        classes: columns of CSV whose values are classes: text as it stands, unless all are whole
            numbers as Python writes them.
    """

    format: Literal["csv", "parquet", "tfrecord"]
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    missing: Sequence[str] = ()
    classes: Sequence[str] = ()


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be read.

    Attributes:
        file, line: where it is, counted from 1.
        column: the one that is wrong; empty if it is the row as a whole.
        reason: what was found and expected.
        content: the row as it stands in the file.
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
    """Content for a message, on one line and not too long."""
    return repr(content if len(content) <= 80 else f"{content[:79]}…")


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a file that can be read by itself, or a file that has none.

    Attributes:
        file: its path.
        split: the index of the input split that the file belongs to.
        number: the part's, within its file.
        start, end: its bytes (of Parquet: row groups); the end is None for a file as a whole.
        size: how many bytes it has; None if that is known when it has been read.
        line: the number of its first line.
        rows: how many; None if that is known when it has been read.
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
    """Some rows, read.

    Attributes:
        found: how many there are in the file.
        batch: columns of lists, as `encoder.encode` takes them.
        bad: those that are not in the batch.
        records: the serialized examples, where they need not be made.
    """

    found: int
    batch: pa.RecordBatch
    bad: Sequence[BadRow] = ()
    records: pa.LargeBinaryArray | None = None


@dataclasses.dataclass(frozen=True)
class Scan:
    """Some rows as they are, for whoever wants to know what a table holds.

    Attributes:
        held: what the columns hold in these rows.
        columns: without the bad rows: numbers if all values of a column are, otherwise text or,
            in Parquet, lists.
        bad: the rows that are not in the columns.
        place_of: says where the row with an index is: `houses.csv:12`.
    """

    held: Mapping[str, Held]
    columns: Mapping[str, pa.Array]
    bad: Sequence[BadRow]
    place_of: Callable[[int], str]


@dataclasses.dataclass(frozen=True)
class TextRows:
    """Some rows, read, and as they stand in the file.

    Attributes:
        rows: the rows, read.
        texts: all columns of the rows that are not bad, as a CSV holds them; null where empty.
        place_of: says where the row with an index is: `houses.csv:12`.
    """

    rows: Rows
    texts: Sequence[pa.Array]
    place_of: Callable[[int], str]


class Source(Protocol):
    """The files of a table in one format."""

    @property
    def dates(self) -> Collection[str]:
        """Columns that hold days, or times with a day, by their type."""

    @property
    def notes(self) -> Sequence[str]:
        """What was decided for the user, a line each."""

    @property
    def kinds(self) -> Kinds | None:
        """Of the columns; None if they have to be inferred."""

    def pieces(self, file: str, split: int) -> Iterator[Piece]:
        """The parts of a file."""

    def infer(self, piece: Piece) -> tuple[dict[str, Held], BadRow | None]:
        """What the columns hold in a part of a file, and the first of its bad rows."""

    def read(self, piece: Piece, kinds: Kinds) -> Iterator[Rows]:
        """The rows of a part of a file, a few megabytes at a time."""


class TableSource(Source, Protocol):
    """Files that have one set of columns: all but TFRecords."""

    @property
    def names(self) -> Sequence[str]:
        """Of the columns."""

    def read_with_text(self, piece: Piece, kinds: Kinds) -> Iterator[TextRows]:
        """Yields the rows of a part of a file, read and as they stand there."""

    def scan(self, file: str, texts: Collection[str]) -> Iterator[Scan]:
        """Yields the rows of a file, a few megabytes at a time.

        Args:
            file: its path.
            texts: columns that are wanted as text, whatever they hold. It may grow between blocks.
        """


def lists(column: pa.Array) -> pa.LargeListArray:
    """One list for each row: of its one value, or of none where it is null."""
    ends = np.cumsum(column.is_valid().to_numpy(zero_copy_only=False))
    offsets = pa.array(np.concatenate([[0], ends]), pa.int64())
    return pa.LargeListArray.from_arrays(offsets, column.drop_null())


def floats(column: pa.Array) -> pa.Array:
    """Numbers as 32-bit floats, rounded as protobuf rounds them; too large ones are infinite.

    NaN is null, as Polars, Spark and NumPy write a missing number.
    """
    with np.errstate(over="ignore"):
        numbers = column.fill_null(0).to_numpy(zero_copy_only=False).astype(np.float32)
    missing = column.is_null().to_numpy(zero_copy_only=False) | np.isnan(numbers)
    return pa.array(numbers, mask=missing)
