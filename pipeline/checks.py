"""Checks of the data and the model before anything runs: does what the configuration says exist?"""

import csv
import math
import pathlib
from collections.abc import Iterable

from pipeline.config import Config
from pipeline.errors import UserError, nearest


def check_data(config: Config) -> None:
    """Checks that the table and the curated schema are there and have the columns named.

    Raises:
        UserError: with one line for each mistake.
    """
    files = data_files(config)
    columns = _columns(config, files[0])
    named: dict[str, list[str]] = {
        "label": [config.label],
        "splits.key": [config.splits.key] if config.splits.key else [],
        "features": list(config.features),
        "slices": [part.column for part in config.slices],
    }
    mistakes = [
        f"{key}: no column {name} in {files[0]}{nearest(name, columns)}"
        for key, names in named.items()
        for name in names
        if name not in columns
    ]
    if config.data.schema_file:
        mistakes += _schema_mistakes(config.data.schema_file, columns, files[0])
    if not mistakes and config.data.format == "csv":
        mistakes = _header_mistakes(files, columns)
    if not mistakes and config.data.format == "csv":
        mistakes = next(filter(None, (_row_mistakes(config, file) for file in files)), [])
    if mistakes:
        raise UserError("\n".join(mistakes))


def data_files(config: Config) -> list[pathlib.Path]:
    """The table's files, in order.

    Raises:
        UserError: there is none.
    """
    path = config.data.path
    if not path.exists():
        raise UserError(f"data.path: no such file or folder: {path}")
    if path.is_file():
        return [path]
    files = sorted(file for file in path.iterdir() if file.is_file())
    if not files:
        raise UserError(f"data.path: the folder is empty: {path}")
    return files


def check_model(config: Config) -> None:
    """Imports the `model_fn` and checks the parameters that its module declares.

    Raises:
        UserError: there is no such model, or it takes no such parameters.
    """
    from models import registry

    try:
        registry.check(config.model.name, config.model.params)
    except ValueError as error:
        raise UserError(str(error)) from None


def _columns(config: Config, file: pathlib.Path) -> list[str]:
    if config.data.format == "parquet":
        import pyarrow.parquet

        try:
            return list(pyarrow.parquet.read_schema(file).names)
        except (OSError, pyarrow.ArrowInvalid) as error:
            raise UserError(f"data.path: {file}: is not a Parquet file: {error}") from None
    if config.data.format == "tfrecord":
        return _tfrecord_columns(file)
    try:
        with open(file, newline="", encoding="utf-8-sig") as lines:
            header = next(csv.reader(lines), [])
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(_unreadable(file, error)) from None
    repeated = sorted({name for name in header if header.count(name) > 1})
    if not header:
        raise UserError(f"data.path: {file}: is empty; expected a header line and rows")
    if repeated:
        raise UserError(f"data.path: {file}: columns stand twice: {', '.join(repeated)}")
    return header


def _tfrecord_columns(file: pathlib.Path) -> list[str]:
    import tensorflow as tf

    compression = "GZIP" if file.suffix == ".gz" else ""
    try:
        record = next(iter(tf.data.TFRecordDataset(str(file), compression)))
    except (StopIteration, tf.errors.OpError):
        raise UserError(f"data.path: {file}: holds no TFRecord of tf.Examples") from None
    return list(tf.train.Example.FromString(record.numpy()).features.feature)


def _schema_mistakes(path: pathlib.Path, columns: Iterable[str], file: pathlib.Path) -> list[str]:
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    if not path.exists():
        return [f"data.schema: no such file: {path}"]
    try:
        schema = text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    except text_format.ParseError as error:
        return [f"data.schema: {path}:{error.GetLine()}: {' '.join(str(error).split())}"]
    except UnicodeDecodeError:
        return [f"data.schema: {path}: is not UTF-8 text; convert it first"]
    except OSError as error:
        return [f"data.schema: {path}: cannot be read: {error.strerror}"]
    known = [feature.name for feature in schema.feature]
    mistakes = [
        f"data.schema: {path}: no feature for the column {column} of {file}{nearest(column, known)}"
        for column in columns
        if column not in known
    ]
    return mistakes + [
        f"data.schema: {file}: has no column {feature.name}{nearest(feature.name, columns)}"
        for feature in schema.feature
        if feature.name not in columns and feature.presence.min_fraction > 0
    ]


def _header_mistakes(files: list[pathlib.Path], columns: list[str]) -> list[str]:
    """CsvExampleGen splits headers at commas and wants the same one in every file."""
    mistakes = []
    for file in files:
        with open(file, newline="", encoding="utf-8", errors="replace") as lines:
            found = lines.readline().rstrip("\r\n")
        if found.startswith("\ufeff"):
            mistakes.append(f"data.path: {file}: starts with a byte-order mark; save it without")
        elif '"' in found:
            mistakes.append(f"data.path: {file}:1: the header has quotes; write the names without")
        elif found != ",".join(columns):
            mistakes.append(
                f"data.path: {file}:1: the columns are not those of {files[0].name}, in the same "
                "order; give every file the same header"
            )
    return mistakes


def _row_mistakes(config: Config, file: pathlib.Path) -> list[str]:
    """Looks at every row: as wide as the header, with a label and bands that can be used."""
    banded = [part.column for part in config.slices if part.bands]
    seen = 0
    try:
        with open(file, newline="", encoding="utf-8-sig") as lines:
            rows = csv.reader(lines)
            header = next(rows)
            label = header.index(config.label)
            for row in filter(None, rows):
                seen += 1
                where = f"{file}:{rows.line_num}"
                if len(row) != len(header):
                    return [
                        f"{where}: found {len(row)} fields, expected {len(header)} as in the header"
                    ]
                if not row[label]:
                    return [
                        f"{where}: {config.label}: the label is empty; remove the row or fill it in"
                    ]
                for column in banded:
                    value = row[header.index(column)]
                    if value and not _is_number(value):
                        return [
                            f"{where}: {column}: found {value!r}, expected a number; only numbers "
                            "have bands (slices)"
                        ]
                if config.task == "regression" and not _is_number(row[label]):
                    return [
                        f"{where}: {config.label}: found {row[label]!r}, expected a number; choose "
                        "another label, or task: multiclass"
                    ]
    except (UnicodeDecodeError, csv.Error) as error:
        return [_unreadable(file, error)]
    return [] if seen else [f"data.path: {file}: has a header but no rows"]


def _unreadable(file: pathlib.Path, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"data.path: {file}: is not UTF-8 text; convert it first"
    return f"data.path: {file}: cannot be read: {getattr(error, 'strerror', None) or error}"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
