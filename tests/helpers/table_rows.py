"""Helper that reads a table as ingestion does: infers the kinds of its columns, then reads rows."""

from collections.abc import Sequence

from components.tables import column_kinds
from components.tables.column_kinds import Kinds
from components.tables.table import Rows, Table


def kinds_of(source: Table, paths: Sequence) -> Kinds:
    """Returns the kinds of the columns in all files."""
    pieces = [piece for path in paths for piece in source.pieces(str(path))]
    return column_kinds.kinds(column_kinds.merge(source.infer(piece)[0] for piece in pieces))


def read(source: Table, paths: Sequence, kinds: Kinds | None = None) -> list[Rows]:
    """Returns the rows of all blocks; the kinds are inferred by default."""
    kinds = kinds_of(source, paths) if kinds is None else kinds
    return [
        block.features(kinds)
        for path in paths
        for piece in source.pieces(str(path))
        for block in source.blocks(piece, kinds)
    ]
