"""Scores a CSV of any size with the pushed model, a block of rows at a time."""

import contextlib
import csv
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from pipeline.errors import UserError, nearest

_BLOCK_BYTES = 4 << 20
_ARROW_TYPES = {"text": pa.large_binary(), "whole numbers": pa.int64(), "numbers": pa.float32()}


def latest_version(serving: pathlib.Path) -> pathlib.Path:
    """The directory of the newest pushed version.

    Raises:
        UserError: nothing was pushed yet.
    """
    versions = [path for path in serving.glob("*") if path.name.isdigit()]
    if not versions:
        raise UserError(f"{serving}: no model was pushed yet; `run` trains and pushes one")
    return max(versions, key=lambda path: int(path.name))


def predict(model: pathlib.Path, source: pathlib.Path, target: pathlib.Path) -> int:
    """Writes the rows of a CSV with the model's predictions beside them.

    The columns must fit what the model was trained on: every required feature is there, and no
    column is unknown. The label and unused columns may be there; they are copied.

    Args:
        model: a pushed version.
        source: the CSV, UTF-8 with a header.
        target: written beside and renamed, so it is whole or not there.

    Returns:
        The number of rows.

    Raises:
        UserError: a column or a value does not fit; names the file, the column and the row.
    """
    extra = model / "assets.extra"
    signature = json.loads((extra / "features.json").read_text())
    features = {feature["name"]: feature for feature in signature["features"]}
    blocks = _blocks(source)
    header = next(blocks)
    _check_columns(source, header, features, signature["columns"])
    label = json.loads((extra / "label.json").read_text())
    if target.resolve() == source.resolve():
        raise UserError(f"--out {target}: is the input itself; name another file")

    score = _scorer(model, label)
    rows = 0
    with _whole_file(target) as sink:
        writer = csv.writer(sink, lineterminator="\n")
        for block in blocks:
            scores = score(_encode(source, block, features, rows))
            if not rows:
                writer.writerow([*header, *scores])
            columns = [column.to_pylist() for column in block.columns]
            writer.writerows(zip(*columns, *scores.values()))
            rows += block.num_rows
        if not rows:
            raise UserError(f"{source}: has a header but no rows")
    return rows


@contextlib.contextmanager
def _whole_file(target: pathlib.Path) -> Iterator[Any]:
    partial = target.with_name(target.name + ".partial")
    try:
        sink = open(partial, "w", newline="", encoding="utf-8")  # noqa: SIM115
    except OSError as error:
        raise UserError(f"--out {target}: cannot be written: {error.strerror}") from None
    try:
        with sink:
            yield sink
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)


def _blocks(source: pathlib.Path) -> Iterator[Any]:
    """The column names, then tables of text columns; an empty field is null."""
    try:
        with open(source, "rb") as file:
            first = file.readline()
        names = pyarrow.csv.read_csv(pa.BufferReader(first)).column_names if first.strip() else []
        if not names:
            raise UserError(f"{source}: is empty; expected a header line and rows")
        yield names
        reader = pyarrow.csv.open_csv(
            source,
            read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES),
            parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
        for batch in reader:
            if batch.num_rows:
                yield pa.Table.from_batches([batch])
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror or error}") from None
    except (pa.ArrowInvalid, UnicodeDecodeError) as error:
        raise UserError(f"{source}: is not a UTF-8 CSV with a header: {error}") from None


def _check_columns(
    source: pathlib.Path,
    header: Sequence[str],
    features: Mapping[str, Mapping[str, Any]],
    known: Sequence[str],
) -> None:
    mistakes = [
        f"{source}: column {name} is missing; the model needs it ({feature['dtype']})"
        for name, feature in features.items()
        if name not in header and not feature["optional"]
    ]
    mistakes += [
        f"{source}: column {name}: the model knows no such column{nearest(name, known)}"
        for name in header
        if name not in known
    ]
    if mistakes:
        raise UserError("\n".join(mistakes))


def _encode(
    source: pathlib.Path, block: pa.Table, features: Mapping[str, Mapping[str, Any]], start: int
) -> list[bytes]:
    """Serialized `tf.Example`s of the features; missing values are left out."""
    from tfx_bsl.coders import example_coder

    columns = {}
    for name, feature in features.items():
        if name not in block.column_names:
            continue
        text = block.column(name).combine_chunks()
        if not feature["optional"] and text.null_count:
            row = start + pc.index(text.is_null(), True).as_py()
            raise UserError(f"{source}: row {row + 1}: column {name} is empty; the model needs it")
        values = _convert(source, name, text, feature["dtype"], start)
        # One list per row: of one value, or null where there is none.
        offsets = np.concatenate([[0], np.cumsum(values.is_valid().to_numpy(zero_copy_only=False))])
        columns[name] = pa.LargeListArray.from_arrays(
            pa.array(offsets, pa.int64()), values.drop_null()
        )
    batch = pa.RecordBatch.from_pydict(columns)
    return example_coder.RecordBatchToExamplesEncoder().encode(batch)


def _convert(source: pathlib.Path, name: str, text: pa.Array, dtype: str, start: int) -> pa.Array:
    wanted = _ARROW_TYPES[dtype]
    try:
        if dtype == "text":
            return text.cast(pa.large_string()).cast(wanted)
        trimmed = pc.utf8_trim_whitespace(text)
        try:
            return trimmed.cast(wanted)
        except pa.ArrowInvalid:
            # A whole number may be written 3.0; one that is not whole is refused by the cast.
            return trimmed.cast(pa.float64()).cast(wanted)
    except pa.ArrowInvalid:
        row, value = next(
            (row, value)
            for row, value in enumerate(text.to_pylist())
            if value is not None and not _fits(value, dtype)
        )
        raise UserError(
            f"{source}: row {start + row + 1}: column {name}: found {value!r}, expected {dtype}"
        ) from None


def _fits(value: str, dtype: str) -> bool:
    try:
        number = float(value)
    except ValueError:
        return False
    return dtype != "whole numbers" or number.is_integer()


def _scorer(
    model: pathlib.Path, label: Mapping[str, Any]
) -> Callable[[list[bytes]], dict[str, list[str]]]:
    """Scores serialized examples; gives the columns to append, as text, by name."""
    import tensorflow as tf

    signature = tf.saved_model.load(str(model)).signatures["predict"]
    name = f"predicted_{label['name']}"

    def score(examples: list[bytes]) -> dict[str, list[str]]:
        outputs = signature(examples=tf.constant(examples))
        if label["task"] == "regression":
            return {name: _texts(outputs["predictions"].numpy()[:, 0])}
        probabilities = outputs["probabilities"].numpy()
        columns = {
            f"probability_{value}": _texts(probabilities[:, number])
            for number, value in enumerate(label["classes"])
        }
        return {name: [value.decode() for value in outputs["classes"].numpy()[:, 0]], **columns}

    return score


def _texts(values: np.ndarray) -> list[str]:
    """Nine digits tell any two float32 apart."""
    return [f"{value:.9g}" for value in values.tolist()]
