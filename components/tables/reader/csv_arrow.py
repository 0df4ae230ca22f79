"""Arrow's CSV parser, for blocks in which it reads every field as our rules do."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from components.tables import cell_values
from components.tables.column_kinds import Kind, Kinds
from components.tables.reader.csv_records import Records
from components.tables.table import Reading

TYPES = {
    Kind.UNKNOWN: pa.binary(),
    Kind.INT: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.BYTES: pa.binary(),
}
_BEFORE_A_NUMBER = np.isin(np.arange(256), list(b',"\n\r\t +-'))


@dataclasses.dataclass(frozen=True)
class ArrowParser:
    """Parser of whole blocks; returns None for a block that has to be parsed row by row.

    Attributes:
        names: names of the columns.
        reading: see `table.Reading`.
    """

    names: Sequence[str]
    reading: Reading

    def typed(self, records: Records, kinds: Kinds) -> list[pa.Array] | None:
        """Returns the columns in their kinds, others as bytes; None if a row may be bad."""
        kinds = {name: kinds.get(name, Kind.BYTES) for name in self.names}
        columns = self.columns(records, kinds)
        # Arrow does not read +1 or true as numbers, and accepts more spellings of NaN than we do.
        is_certain = columns is not None and not any(map(any_nan, columns))
        if is_certain or not {Kind.INT, Kind.FLOAT} & {*kinds.values()}:
            return columns
        texts = self.columns(records, dict.fromkeys(self.names, Kind.BYTES))
        if texts is None:
            return None
        typed = []
        for index, (name, text) in enumerate(zip(self.names, texts)):
            column: pa.Array | None = text
            if kinds[name] in (Kind.INT, Kind.FLOAT):
                if columns is not None and not any_nan(columns[index]):
                    column = columns[index]
                else:
                    column = cell_values.arrow_numbers(text.cast(pa.string()), kinds[name])
            if column is None:
                return None
            typed.append(column)
        return typed

    def columns(self, records: Records, kinds: Kinds) -> list[pa.Array] | None:
        """Returns the columns as Arrow reads them; None if a row may be bad.

        Args:
            records: the records of a block.
            kinds: kinds of columns; Arrow infers the types of columns that are not named.
        """
        data = self._utf8(records.data)
        if data is None:
            return None
        types = {name: TYPES[kind] for name, kind in kinds.items()}
        invalid: list[pa.csv.InvalidRow] = []
        try:
            columns = self._parse(data, types, invalid)
            if _may_hold_hexadecimal(data):
                # Arrow takes hexadecimal for whole numbers.
                texts = self._parse(data, dict.fromkeys(self.names, pa.binary()), invalid)
                for column, text in zip(columns, texts):
                    if pa.types.is_integer(column.type) and _has_hexadecimal(text):
                        return None
        except pa.ArrowInvalid:
            return None
        if invalid or len(columns[0]) != records.rows:
            return None
        return columns

    def _parse(
        self, data: bytes, types: Mapping[str, pa.DataType], invalid: list[pa.csv.InvalidRow]
    ) -> list[pa.Array]:
        def skip(row: pa.csv.InvalidRow) -> str:
            invalid.append(row)
            return "skip"

        # `read_csv` ends by going through all objects of the process, which takes 50 ms.
        reader = pa.csv.open_csv(
            pa.BufferReader(data),
            pa.csv.ReadOptions(
                use_threads=False, block_size=len(data) + 1, column_names=self.names
            ),
            pa.csv.ParseOptions(newlines_in_values=True, invalid_row_handler=skip),
            pa.csv.ConvertOptions(
                column_types=types,
                null_values=["", *self.reading.missing],
                strings_can_be_null=True,
                check_utf8=False,
            ),
        )
        return [column.combine_chunks() for column in reader.read_all().columns]

    def _utf8(self, data: bytes) -> bytes | None:
        if b"\0" in data:
            return None
        if data.isascii():
            return data
        try:
            text = data.decode(self.reading.encoding)
        except UnicodeDecodeError:
            return None
        return data if self.reading.encoding == "utf-8" else text.encode()


def any_nan(column: pa.Array) -> bool:
    """Returns whether a column of floats has a NaN; False for other types."""
    return pa.types.is_floating(column.type) and bool(pc.any(pc.is_nan(column)).as_py())


def _may_hold_hexadecimal(data: bytes) -> bool:
    """Returns whether a field may begin like `0x1F`."""
    characters = np.frombuffer(data, np.uint8)
    for letter in b"xX":
        # Searching for a single byte takes a fraction of the time of searching for `0x`.
        if bytes([letter]) in data:
            offsets = np.flatnonzero(characters == letter)
            offsets = offsets[offsets > 0]
            offsets = offsets[characters[offsets - 1] == ord("0")]
            if (offsets == 1).any() or _BEFORE_A_NUMBER[characters[offsets - 2]].any():
                return True
    return False


def _has_hexadecimal(texts: pa.Array) -> bool:
    return bool(pc.any(pc.match_substring(texts, "x", ignore_case=True)).as_py())
