"""Scores a CSV of any size with the pushed model, a block of rows at a time."""

import contextlib
import csv
import json
import math
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from etils import epath

from components import deployments
from models import manifest
from pipeline.errors import UserError, nearest
from pipeline.workspace import plain_folder

_BLOCK_BYTES = 4 << 20
_ARROW_TYPES = {"text": pa.large_binary(), "whole numbers": pa.int64(), "numbers": pa.float32()}


def latest_version(serving: pathlib.Path) -> pathlib.Path:
    """The directory of the newest pushed version.

    Raises:
        UserError: nothing was pushed yet.
    """
    versions = [path for path in serving.glob("*") if path.name.isdigit() and path.is_dir()]
    if not versions:
        raise UserError(f"{serving}: no model was pushed yet; `run` trains and pushes one")
    return max(versions, key=lambda path: int(path.name))


def check_label(model: pathlib.Path, name: str, task: str) -> None:
    """Checks that a pushed model is one of this problem.

    Raises:
        UserError: it predicts something else: two problems share a workspace.
    """
    label = _labels(model)[0]
    if (label["name"], label["task"]) != (name, task):
        raise UserError(
            f"{model}: predicts {label['name']} ({label['task']}), not {name} ({task}) as the "
            "configuration says; give each problem a name of its own (name: ...) and run it"
        )


def _labels(model: pathlib.Path) -> list[dict[str, Any]]:
    """The model's labels, as `models.label` writes them; without TensorFlow, which takes seconds.

    Raises:
        UserError: files of the model are not as they were deployed, or it was exported in the form
            of before there were several labels.
    """
    _check_files(model)
    content = json.loads((model / "assets.extra" / "label.json").read_text())
    if "labels" not in content:
        raise UserError(
            f"{model}: was exported in an earlier form; `run` makes and pushes a new one"
        )
    return content["labels"]


def _check_files(model: pathlib.Path) -> None:
    try:
        wrong = deployments.damage(epath.Path(model))
    except deployments.BadRecord as error:
        raise UserError(str(error)) from None
    if wrong == manifest.NO_CHECKSUMS:
        raise UserError(
            f"{model}: {wrong}: it was deployed by an earlier version, or the file was removed; "
            "`run` makes and pushes a new one"
        )
    if wrong:
        raise UserError(f"{model}: {wrong}; restore its files, or `run`, which pushes it anew")


def predict(model: pathlib.Path, source: pathlib.Path, target: pathlib.Path) -> int:
    """Writes the rows of a CSV with the model's predictions beside them.

    The columns must fit what the model was trained on: every required one is there, and none is
    unknown. Labels, the weight and unused columns may be there; they are copied. A list stands in
    its field as JSON has it, `[1.5, 2]`.

    Args:
        model: a pushed version.
        source: the CSV, UTF-8 with a header.
        target: written beside and renamed, so it is whole or not there.

    Returns:
        The number of rows.

    Raises:
        UserError: a column or a value does not fit; names the file, the column and the row.
    """
    labels = _labels(model)
    signature = json.loads((model / "assets.extra" / "features.json").read_text())
    inputs = {column["name"]: column for column in signature["inputs"]}
    blocks = _blocks(source)
    header = next(blocks)
    _check_columns(source, header, inputs, signature["columns"])
    if target.resolve() == source.resolve():
        raise UserError(f"--out {target}: is the input itself; name another file")
    if target.is_dir():
        raise UserError(f"--out {target}: is a folder; name a file in it")

    score = _scorer(model, labels)
    rows = 0
    with _whole_file(target) as sink:
        writer = csv.writer(sink, lineterminator="\n")
        for block in blocks:
            scores = score(_encode(source, block, inputs, rows))
            if not rows:
                writer.writerow([*header, *scores])
            columns = [column.to_pylist() for column in block.columns]
            try:
                writer.writerows(zip(*columns, *scores.values()))
            except csv.Error as error:  # a NUL character
                raise UserError(f"{source}: row {rows + 1} or later: {error}") from None
            rows += block.num_rows
    return rows


@contextlib.contextmanager
def _whole_file(target: pathlib.Path) -> Iterator[Any]:
    partial = target.with_name(target.name + ".partial")
    try:
        with open(partial, "w", newline="", encoding="utf-8") as sink:
            yield sink
        os.replace(partial, target)
    except OSError as error:
        raise UserError(f"--out {target}: cannot be written: {error.strerror or error}") from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def _blocks(source: pathlib.Path) -> Iterator[Any]:
    """The column names, then tables of text columns; an empty field is null."""
    ragged: list[pyarrow.csv.InvalidRow] = []

    def skip(row: pyarrow.csv.InvalidRow) -> str:
        ragged.append(row)
        return "skip"

    try:
        with open(source, newline="", encoding="utf-8-sig") as file:
            lines = filter(None, csv.reader(file))
            names: list[str] = next(lines, [])
            has_rows = next(lines, None) is not None
        if not names:
            raise UserError(f"{source}: is empty; expected a header line and rows")
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise UserError(f"{source}: columns stand twice: {', '.join(repeated)}")
        yield names
        if not has_rows:
            raise UserError(f"{source}: has a header but no rows")
        reader = pyarrow.csv.open_csv(
            source,
            # Only a serial reader knows the numbers of rows.
            read_options=pyarrow.csv.ReadOptions(block_size=_BLOCK_BYTES, use_threads=False),
            parse_options=pyarrow.csv.ParseOptions(
                newlines_in_values=True, invalid_row_handler=skip
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in names},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=True,
            ),
        )
        with reader:
            for batch in reader:
                if ragged:
                    break
                if batch.num_rows:
                    yield pa.Table.from_batches([batch])
        if ragged:
            row = ragged[0]
            raise UserError(
                f"{source}: row {row.number - 1}: found {row.actual_columns} fields, expected "
                f"{row.expected_columns} as in the header"
            )
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror or error}") from None
    except (pa.ArrowInvalid, UnicodeDecodeError, csv.Error) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{source}: is not a UTF-8 CSV with a header: {reason}") from None


def _check_columns(
    source: pathlib.Path,
    header: Sequence[str],
    inputs: Mapping[str, Mapping[str, Any]],
    known: Sequence[str],
) -> None:
    mistakes = [
        f"{source}: column {name} is missing; the model needs it ({_wanted(column)})"
        for name, column in inputs.items()
        if name not in header and not column["optional"]
    ]
    mistakes += [
        f"{source}: column {name}: the model knows no such column{nearest(name, known)}"
        for name in header
        if name not in known
    ]
    if mistakes:
        raise UserError("\n".join(mistakes))


def _wanted(column: Mapping[str, Any]) -> str:
    """What a field of a column holds, in words."""
    if not column["sequence"]:
        return column["dtype"]
    count = f"{column['length']} " if column["length"] else ""
    return f"a list of {count}{column['dtype']} such as [{_SAMPLES[column['dtype']]}]"


_SAMPLES = {"whole numbers": "1, 2", "numbers": "1.5, 2"}


def _encode(
    source: pathlib.Path, block: pa.Table, inputs: Mapping[str, Mapping[str, Any]], start: int
) -> list[bytes]:
    """Serialized `tf.Example`s of the columns that are read; missing values are left out."""
    from tfx_bsl.coders import example_coder

    columns = {}
    for name, column in inputs.items():
        if name not in block.column_names:
            continue
        text = block.column(name).combine_chunks()
        if not column["optional"] and text.null_count:
            row = start + pc.index(text.is_null(), True).as_py()
            raise UserError(f"{source}: row {row + 1}: column {name} is empty; the model needs it")
        if column["sequence"]:
            columns[name] = _convert_lists(source, column, text, start)
            continue
        values = _convert(source, name, text, column["dtype"], start)
        # One list per row: of one value, or empty where there is none.
        offsets = np.concatenate([[0], np.cumsum(values.is_valid().to_numpy(zero_copy_only=False))])
        columns[name] = pa.LargeListArray.from_arrays(
            pa.array(offsets, pa.int64()), values.drop_null()
        )
    batch = pa.RecordBatch.from_pydict(columns)
    return example_coder.RecordBatchToExamplesEncoder().encode(batch)


def _convert_lists(
    source: pathlib.Path, column: Mapping[str, Any], text: pa.Array, start: int
) -> pa.Array:
    rows = []
    for number, field in enumerate(text.to_pylist()):
        values = [] if field is None else _list(field, column)
        if values is None:
            shown = repr(field if len(field) <= 60 else f"{field[:57]}...")
            raise UserError(
                f"{source}: row {start + number + 1}: column {column['name']}: found {shown}, "
                f"expected {_wanted(column)}"
            )
        rows.append(values)
    return pa.array(rows, pa.large_list(_ARROW_TYPES[column["dtype"]]))


def _list(field: str, column: Mapping[str, Any]) -> list[float] | None:
    """The numbers of a JSON list; None if it is something else."""
    try:
        values = json.loads(field)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or (column["length"] and len(values) != column["length"]):
        return None
    whole = column["dtype"] == "whole numbers"
    for place, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        try:
            values[place] = int(value) if whole else float(value)
        except (OverflowError, ValueError):  # infinity, NaN, or beyond any float
            return None
        if whole and (values[place] != value or abs(value) >= 1 << 63):
            return None
        if not math.isfinite(values[place]):
            return None
    return values


def _convert(source: pathlib.Path, name: str, text: pa.Array, dtype: str, start: int) -> pa.Array:
    wanted = _ARROW_TYPES[dtype]
    try:
        if dtype == "text":
            return text.cast(pa.large_string()).cast(wanted)
        trimmed = pc.utf8_trim_whitespace(text)
        if dtype == "whole numbers":  # which may be written 3.0
            trimmed = pc.replace_substring_regex(trimmed, r"\.0*$", "")
        return trimmed.cast(wanted)
    except pa.ArrowInvalid:
        if len(text) > 1:  # Halves the block until the value that does not fit is alone.
            middle = len(text) // 2
            _convert(source, name, text[:middle], dtype, start)
            _convert(source, name, text[middle:], dtype, start + middle)
        raise UserError(
            f"{source}: row {start + 1}: column {name}: found {text[0].as_py()!r}, expected {dtype}"
        ) from None


def _scorer(
    model: pathlib.Path, labels: Sequence[Mapping[str, Any]]
) -> Callable[[list[bytes]], dict[str, list[str]]]:
    """Scores serialized examples; gives the columns to append, as text, by name."""
    import tensorflow as tf

    try:
        with plain_folder(model) as path:
            signature = tf.saved_model.load(str(path)).signatures["predict"]
    except (KeyError, OSError, RuntimeError, TypeError, ValueError, tf.errors.OpError) as error:
        raise UserError(_unusable(model, "loaded", error)) from None

    def score(examples: list[bytes]) -> dict[str, list[str]]:
        try:
            outputs = signature(examples=tf.constant(examples))
        except tf.errors.OpError as error:
            raise UserError(_unusable(model, "asked", error)) from None
        columns = {}
        for number, label in enumerate(labels):
            columns.update(_columns(label, number == 0, outputs))
        return columns

    return score


def _unusable(model: pathlib.Path, how: str, error: Exception) -> str:
    lines = getattr(error, "message", str(error)).strip().splitlines() or [""]
    return (
        f"{model}: cannot be {how}: {type(error).__name__}: {lines[0][:200]}; "
        "`run` makes and pushes a new one"
    )


def _columns(
    label: Mapping[str, Any], is_first: bool, outputs: Mapping[str, Any]
) -> dict[str, list[str]]:
    """What a model says of one label; the outputs of the first have no prefix."""
    prefix = "" if is_first else f"{label['name']}/"
    name = f"predicted_{label['name']}"
    if label["task"] == "regression":
        columns = {name: _texts(outputs[f"{prefix}predictions"].numpy()[:, 0])}
        for bound in ("lower", "upper"):
            if prefix + bound in outputs:
                columns[f"{name}_{bound}"] = _texts(outputs[prefix + bound].numpy()[:, 0])
        return columns
    columns = {name: [value.decode() for value in outputs[f"{prefix}classes"].numpy()[:, 0]]}
    probabilities = outputs[f"{prefix}probabilities"].numpy()
    # Two labels may have the same classes.
    probability = "probability" if is_first else f"probability_{label['name']}"
    for number, value in enumerate(label["classes"]):
        columns[f"{probability}_{value}"] = _texts(probabilities[:, number])
    return columns


def _texts(values: np.ndarray) -> list[str]:
    """Nine digits tell any two float32 apart."""
    return [f"{value:.9g}" for value in values.tolist()]
