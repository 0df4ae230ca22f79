"""Scores a table of any size with the pushed model, one block of rows at a time."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence

from components.example_io import encoder
from components.tables import bad_rows, byte_arrays, reader, table_files
from components.tables.bad_rows import BadRows
from components.tables.table import NO_ROWS, Reading, Table, TextRows
from models.errors import UserError
from pipeline.scoring import model_inputs, output_file, predictions
from pipeline.scoring.exported_model import ExportedModel

_BLOCK_BYTES = 4 << 20


@dataclasses.dataclass(frozen=True)
class Scored:
    """The result of scoring a table.

    Attributes:
        rows: the number of rows written.
        notes: one line for each decision made for the user.
    """

    rows: int
    notes: tuple[str, ...] = ()


_PLAIN = Reading("csv")


def predict(
    model: ExportedModel,
    source: pathlib.Path,
    target: pathlib.Path,
    reading: Reading = _PLAIN,
    max_bad_share: float = 0.0,
) -> Scored:
    """Writes a CSV file of the table's rows with the model's predictions appended.

    The table is read as in a run. It must have every column that the model requires, and none that
    the model does not know. Labels, the weight and unused columns are optional and copied. In CSV,
    a list is written as JSON in its field: `[1.5, 2]`.

    Args:
        model: the model, see `exported_model.read`.
        source: a CSV file with a header, gzipped or not, or a Parquet file; or a folder or a
            pattern of such files, as in `data.path` of a configuration.
        target: the output; written to a temporary file and renamed, so it is never incomplete.
        reading: the encoding of CSV, and words that mean a missing value. The words are used only
            if the export does not record those that the model was trained with.
        max_bad_share: the largest share of unreadable rows to leave out; with more, the call fails.

    Returns:
        The number of rows written, and notes for the user.

    Raises:
        UserError: the input, the output, a column or a value is unusable, or the model cannot be
            loaded; the message names it.
    """
    missing = reading.missing if model.missing is None else model.missing
    notes = _notes_on_missing(missing, reading.missing)
    try:
        paths = _files(source)
        is_parquet = any(map(table_files.is_parquet, paths))
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror or error}") from None
    reading = Reading("parquet" if is_parquet else "csv", reading.encoding, missing)
    table = _open_table(paths, reading, model)
    model_inputs.check_columns(source, table.names, model)
    output_file.check(target, source, paths)
    score = predictions.scorer(model)
    bad = BadRows()
    with output_file.opened(target, table.names) as output:
        for block in _blocks(table, paths, model, is_parquet):
            bad.add(block.rows.bad)
            if bad.first and not max_bad_share:
                raise UserError(f"{bad.first}; {bad_rows.ADVICE}")
            if block.rows.good:
                features = model_inputs.features(block, table.names, model.inputs)
                output.write(block.texts, score(byte_arrays.texts(encoder.encode(features))))
        bad_rows.check_share(bad.count, output.rows + bad.count, max_bad_share, bad.first)
        if not output.rows:
            raise UserError(f"{source}: {NO_ROWS}")
    return Scored(output.rows, (*notes, *table.notes, *output.notes, *_notes_on_bad(bad)))


def _open_table(paths: Sequence[str], reading: Reading, model: ExportedModel) -> Table:
    """Opens the table; columns in the names of its folders are read if the model knows them."""
    return reader.open_table(
        paths, reading, block_bytes=_BLOCK_BYTES, folder="", partition_columns=model.columns
    )


def _blocks(
    table: Table, paths: Sequence[str], model: ExportedModel, is_parquet: bool
) -> Iterator[TextRows]:
    """Yields blocks of rows, with inputs in the kinds that the model expects."""
    kinds = model_inputs.kinds(table.names, model.inputs, is_parquet)
    for piece in (piece for path in paths for piece in table.pieces(path)):
        for block in table.blocks(piece):
            yield block.features_and_texts(kinds)


def _files(source: pathlib.Path) -> list[str]:
    """Lists the files of the input.

    Raises:
        UserError: there are none.
    """
    if source.is_file():
        return [str(source)]
    folder, pattern = table_files.located(source)
    paths = table_files.matching(str(folder), pattern)
    if not paths:
        raise UserError(table_files.why_none(str(source)))
    return paths


def _notes_on_missing(trained: Sequence[str], configured: Sequence[str]) -> list[str]:
    if set(trained) == set(configured):
        return []
    return [
        f"data.missing is {', '.join(configured) or 'empty'}, but the model was trained with "
        f"{', '.join(trained) or 'none'}; the table is read as the model was trained"
    ]


def _notes_on_bad(bad: BadRows) -> list[str]:
    if not bad.count:
        return []
    rows = (
        "1 row that cannot be read was"
        if bad.count == 1
        else f"{bad.count} rows that cannot be read were"
    )
    return [f"{rows} left out; the first is {bad.first}"]
