"""Scores a table of any size with the pushed model, one block of rows at a time."""

import contextlib
import csv
import dataclasses
import itertools
import json
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from etils import epath

from components import deployments
from components.example_io import encoder
from components.tables import byte_arrays, partitions, sources, table_files
from components.tables.table import BadRow, Kind, Piece, Reading, TableSource, TextRows
from models.errors import UserError, nearest
from models.training import export_manifest
from pipeline.storage.workspace import plain_folder

_BLOCK_BYTES = 4 << 20
_KINDS = {"text": Kind.BYTES, "whole numbers": Kind.INT, "numbers": Kind.FLOAT}
_LISTS = {"whole numbers": pa.int64(), "numbers": pa.float32()}


def latest_version(serving: pathlib.Path) -> pathlib.Path:
    """Returns the directory of the deployed version.

    Raises:
        UserError: no model was pushed yet, or the record of deployments cannot be read.
    """
    directory = epath.Path(serving)
    version = deployments.serving(directory)
    # A version without a graph is not `serving`; `_check_files` reports it as damaged.
    version = version or next(reversed(deployments.versions(directory)), None)
    if version is None:
        raise UserError(f"{serving}: no model was pushed yet; `run` trains and pushes one")
    return pathlib.Path(version)


def check_label(model: pathlib.Path, name: str, task: str) -> None:
    """Checks that a pushed model belongs to this problem.

    Raises:
        UserError: it predicts another label or task, because two problems share a workspace.
    """
    label = _labels(model)[0]
    if (label["name"], label["task"]) != (name, task):
        raise UserError(
            f"{model}: predicts {label['name']} ({label['task']}), not {name} ({task}) as the "
            "configuration says; give each problem a name of its own (name: ...) and run it"
        )


def _labels(model: pathlib.Path) -> list[dict[str, Any]]:
    """Reads the model's labels, as `models.features.label` writes them, without TensorFlow.

    Raises:
        UserError: the model's files changed since deployment, or it was exported in an earlier
            form, with one label only.
    """
    _check_files(model)
    content = json.loads((model / "assets.extra" / "label.json").read_text())
    if "labels" not in content:
        raise UserError(
            f"{model}: was exported in an earlier form; `run` makes and pushes a new one"
        )
    return content["labels"]


def _check_files(model: pathlib.Path) -> None:
    wrong = deployments.damage(epath.Path(model))
    if wrong == export_manifest.NO_CHECKSUMS:
        raise UserError(
            f"{model}: {wrong}: it was deployed by an earlier version, or the file was removed; "
            "`run` makes and pushes a new one"
        )
    if wrong:
        raise UserError(f"{model}: {wrong}; restore its files, or `run`, which pushes it anew")


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


@dataclasses.dataclass
class _BadRows:
    """Unreadable rows, which are left out.

    Attributes:
        most: the largest accepted share of all rows.
        count: the number of unreadable rows so far.
        first: the first of them.
    """

    most: float
    count: int = 0
    first: BadRow | None = None

    def add(self, rows: Sequence[BadRow]) -> None:
        if rows and not self.most:
            raise UserError(str(rows[0]))
        self.count += len(rows)
        self.first = self.first or next(iter(rows), None)

    def check(self, rows: int) -> None:
        """Raises `UserError` if their share of `rows`, the number of all rows, is too large."""
        if self.count > self.most * rows:
            raise UserError(
                f"{self.count} of {rows} rows cannot be read, more than data.max_bad_share "
                f"({self.most:g}); the first is {self.first}"
            )

    def notes(self) -> list[str]:
        if not self.count:
            return []
        rows = (
            "1 row that cannot be read was"
            if self.count == 1
            else (f"{self.count} rows that cannot be read were")
        )
        return [f"{rows} left out; the first is {self.first}"]


def predict(
    model: pathlib.Path,
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
        model: the directory of a pushed version.
        source: a CSV file with a header, gzipped or not, or a Parquet file; or a folder or a
            pattern of such files, as in `data.path` of a configuration.
        target: the output; written to a temporary file and renamed, so it is never incomplete.
        reading: the encoding of CSV, and words that mean a missing value. The words are used only
            if the export does not record those that the model was trained with.
        max_bad_share: the largest share of unreadable rows to leave out; with more, the call fails.

    Returns:
        The number of rows written, and notes for the user.

    Raises:
        UserError: the input, the output, the model, a column or a value is unusable; the message
            names it.
    """
    labels = _labels(model)
    signature = json.loads((model / "assets.extra" / "features.json").read_text())
    inputs = {column["name"]: column for column in signature["inputs"]}
    missing = signature.get("missing", reading.missing)
    notes = _notes_on_missing(missing, reading.missing)
    try:
        paths = _files(source)
        is_parquet = any(map(table_files.is_parquet, paths))
    except OSError as error:
        raise UserError(f"{source}: cannot be read: {error.strerror or error}") from None
    reading = Reading("parquet" if is_parquet else "csv", reading.encoding, missing)
    table = _open(paths, reading, signature["columns"])
    _check_columns(source, table.names, inputs, signature["columns"])
    _check_target(target, source, paths)
    bad = _BadRows(max_bad_share)
    blocks = _blocks(table, paths, inputs, is_parquet, bad)
    scored = _write(table, source, target, inputs, blocks, bad, _scorer(model, labels))
    return dataclasses.replace(scored, notes=(*notes, *scored.notes))


def _notes_on_missing(trained: Sequence[str], configured: Sequence[str]) -> list[str]:
    if set(trained) == set(configured):
        return []
    return [
        f"data.missing is {', '.join(configured) or 'empty'}, but the model was trained with "
        f"{', '.join(trained) or 'none'}; the table is read as the model was trained"
    ]


def _files(source: pathlib.Path) -> list[str]:
    """Lists the files of the input.

    Raises:
        UserError: a folder is empty, or a pattern matches nothing.
    """
    folder, pattern = table_files.located(source)
    if source.is_file():
        return [str(source)]
    paths = table_files.matching(str(folder), pattern)
    if not paths and source.is_dir():
        raise UserError(f"{source}: the folder has no files; name files by a pattern, as */*.csv")
    if not paths and set(str(source)) & set("*?["):
        raise UserError(f"{source}: no file matches")
    # Opening a missing file raises an error that says so.
    return paths or [str(source)]


def _check_target(target: pathlib.Path, source: pathlib.Path, paths: Sequence[str]) -> None:
    if target.resolve() in {pathlib.Path(path).resolve() for path in paths}:
        raise UserError(f"--out {target}: is the input itself; name another file")
    if target.is_dir():
        raise UserError(f"--out {target}: is a folder; name a file in it")
    if source.is_dir() and source.resolve() in target.resolve().parents:
        raise UserError(f"--out {target}: is in the folder of the input; name a file elsewhere")


def _open(paths: Sequence[str], reading: Reading, known: Sequence[str]) -> TableSource:
    """Opens the table; columns in the names of its folders are read if the model knows them."""
    table = sources.open_table(paths, reading, block_bytes=_BLOCK_BYTES)
    in_folders = {
        path: {name: value for name, value in columns.items() if name in known}
        for path, columns in partitions.columns(paths, "").items()
    }
    return partitions.wrapped(table, in_folders, reading)


def _write(
    table: TableSource,
    source: pathlib.Path,
    target: pathlib.Path,
    inputs: Mapping[str, Mapping[str, Any]],
    blocks: Iterable[TextRows],
    bad: _BadRows,
    score: Callable[[list[bytes]], dict[str, list[str]]],
) -> Scored:
    header = list(table.names)
    rows = 0
    notes: list[str] = list(table.notes)
    with _whole_file(target) as sink:
        writer = csv.writer(sink, lineterminator="\n")
        for block in blocks:
            scores = score(byte_arrays.texts(encoder.encode(_features(block, header, inputs))))
            if not rows:
                names = _output_names(header, scores)
                notes += [
                    f"the input has a column {name} already; the new one is called {new}"
                    for name, new in zip(scores, names)
                    if name != new
                ]
                writer.writerow([*header, *names])
            columns = [column.to_pylist() for column in block.texts]
            writer.writerows(zip(*columns, *scores.values()))
            rows += block.rows.batch.num_rows
        bad.check(rows + bad.count)
        if not rows:
            raise UserError(f"{source}: has a header but no rows")
    return Scored(rows, (*notes, *bad.notes()))


def _output_names(header: Sequence[str], outputs: Iterable[str]) -> list[str]:
    """Returns the names of the output columns, with a number appended to names already taken."""
    names: list[str] = []
    for output in outputs:
        taken = {*header, *names}
        numbered = (f"{output}_{suffix}" for suffix in itertools.count(2))
        names.append(next(n for n in itertools.chain([output], numbered) if n not in taken))
    return names


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


def _blocks(
    table: TableSource,
    paths: Sequence[str],
    inputs: Mapping[str, Mapping[str, Any]],
    is_parquet: bool,
    bad: _BadRows,
) -> Iterator[TextRows]:
    """Yields blocks of rows, with inputs in the types the model expects; CSV lists stay text."""
    kinds = {} if is_parquet else dict.fromkeys(table.names, Kind.BYTES)
    for name, column in inputs.items():
        if name in table.names and (is_parquet or not column["sequence"]):
            kinds[name] = _KINDS[column["dtype"]]
    for path in paths:
        whole = [Piece(path, 0, 0, 0, None)]
        for piece in table.pieces(path, 0) if is_parquet else whole:
            for block in table.read_with_text(piece, kinds):
                bad.add(block.rows.bad)
                if block.rows.batch.num_rows:
                    yield block


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
    """Describes the value that the model expects in a field of a column."""
    if not column["sequence"]:
        return column["dtype"]
    count = f"{column['length']} " if column["length"] else ""
    return f"a list of {count}{column['dtype']} such as [{_SAMPLES[column['dtype']]}]"


_SAMPLES = {"whole numbers": "1, 2", "numbers": "1.5, 2"}


def _features(
    block: TextRows, header: Sequence[str], inputs: Mapping[str, Mapping[str, Any]]
) -> pa.RecordBatch:
    """Returns the columns that the model reads, in the form that `encoder.encode` takes."""
    columns = {}
    for name, column in inputs.items():
        if name not in header:
            continue
        values = block.rows.batch.column(name)
        if column["sequence"] and not _holds_numbers(values):
            values = _json_lists(column, block, block.texts[header.index(name)])
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        if not column["optional"]:
            wrong = pc.equal(lengths, 0)
            if wrong.true_count:
                location = block.place_of(pc.index(wrong, True).as_py())
                raise UserError(f"{location}: column {name} is empty; the model needs it")
        if column["length"]:
            wrong = pc.and_(pc.not_equal(lengths, column["length"]), pc.not_equal(lengths, 0))
            if wrong.true_count:
                row = pc.index(wrong, True).as_py()
                raise UserError(
                    f"{block.place_of(row)}: column {name}: found {lengths[row].as_py()} values, "
                    f"expected {_wanted(column)}"
                )
        columns[name] = values
    return pa.RecordBatch.from_pydict(columns)


def _holds_numbers(values: pa.Array) -> bool:
    return pa.types.is_large_list(values.type) and values.type.value_type != pa.large_binary()


def _json_lists(column: Mapping[str, Any], block: TextRows, texts: pa.Array) -> pa.Array:
    rows = []
    for row, field in enumerate(texts.to_pylist()):
        values = [] if field is None else _list(field, column)
        if values is None:
            shown = repr(field if len(field) <= 60 else f"{field[:57]}...")
            raise UserError(
                f"{block.place_of(row)}: column {column['name']}: found {shown}, "
                f"expected {_wanted(column)}"
            )
        rows.append(values)
    return pa.array(rows, pa.large_list(_LISTS[column["dtype"]]))


def _list(field: str, column: Mapping[str, Any]) -> list[float] | None:
    """Parses a JSON list of numbers of the column's type and length; returns None on failure."""
    try:
        values = json.loads(field)
    except (ValueError, RecursionError):
        return None
    if not isinstance(values, list) or (column["length"] and len(values) != column["length"]):
        return None
    whole = column["dtype"] == "whole numbers"
    for index, value in enumerate(values):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return None
        try:
            values[index] = int(value) if whole else float(value)
        except (OverflowError, ValueError):  # not a whole number, or too large for a float
            return None
        if whole and (values[index] != value or abs(value) >= 1 << 63):
            return None
        if math.isinf(values[index]):  # NaN is allowed: it means a missing value
            return None
    return values


def _scorer(
    model: pathlib.Path, labels: Sequence[Mapping[str, Any]]
) -> Callable[[list[bytes]], dict[str, list[str]]]:
    """Returns a function from serialized examples to the columns to append, as text by name."""
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
        for index, label in enumerate(labels):
            columns.update(_columns(label, index == 0, outputs))
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
    """Returns the columns predicted for a label; outputs of the first label have no prefix."""
    prefix = "" if is_first else f"{label['name']}/"
    name = f"predicted_{label['name']}"
    if label["task"] == "regression":
        columns = {name: _texts(outputs[f"{prefix}predictions"].numpy()[:, 0])}
        for bound in ("lower", "upper"):
            if prefix + bound in outputs:
                columns[f"{name}_{bound}"] = _texts(outputs[prefix + bound].numpy()[:, 0])
        return columns
    probabilities = _probabilities(prefix, label["task"], outputs)
    if f"{prefix}classes" in outputs:
        classes = [value.decode() for value in outputs[f"{prefix}classes"].numpy()[:, 0]]
    else:
        classes = [label["classes"][index] for index in probabilities.argmax(axis=1)]
    columns = {name: classes}
    # Two labels may have the same classes.
    probability = "probability" if is_first else f"probability_{label['name']}"
    for class_index, value in enumerate(label["classes"]):
        columns[f"{probability}_{value}"] = _texts(probabilities[:, class_index])
    return columns


def _probabilities(prefix: str, task: str, outputs: Mapping[str, Any]) -> np.ndarray:
    """Returns an array (rows, classes); a binary model may output only the second class."""
    if f"{prefix}probabilities" in outputs:
        return outputs[f"{prefix}probabilities"].numpy()
    if task == "binary":
        positive = outputs[f"{prefix}logistic"].numpy()
        return np.concatenate([1 - positive, positive], axis=1)
    raise UserError(f"the model's signature predict has no output {prefix}probabilities")


def _texts(values: np.ndarray) -> list[str]:
    """Formats numbers with nine digits, which distinguish any two float32 values."""
    return [f"{value:.9g}" for value in values.tolist()]
