"""Checks of the data and the model before anything runs: does what the configuration says exist?"""

import csv
import gzip
import itertools
import math
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TextIO

from models import expressions
from pipeline.config import Config
from pipeline.errors import UserError, nearest
from pipeline.tune_config import MODEL_PARAMS


def check_data(config: Config) -> None:
    """Checks that the table and the curated schema are there and have the columns named.

    Raises:
        UserError: with one line for each mistake.
    """
    files = data_files(config)
    columns = _columns(config, files[0])
    named: dict[str, list[str]] = {
        "label": [config.label],
        "more_labels": list(config.more_labels),
        "weight": [config.weight] if config.weight else [],
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
    mistakes += _derived_mistakes(config, columns, files[0])
    if config.data.schema_file:
        mistakes += _schema_mistakes(config.data.schema_file, columns, files[0])
    if not mistakes and config.data.format == "csv":
        mistakes = _header_mistakes(config, files, columns)
    if not mistakes and config.data.format == "csv":
        # Where the schema says what a value is, a row without it is put aside like a torn one.
        if config.data.on_bad_rows == "refuse" or not config.data.schema_file:
            mistakes = _first(_row_mistakes(config, file) for file in files)
        mistakes = mistakes or _key_mistakes(config, files)
    if not mistakes and config.data.format == "parquet":
        mistakes = _first(_parquet_mistakes(config, file) for file in files)
    if mistakes:
        raise UserError("\n".join(mistakes))


def _first(mistakes: Iterable[list[str]]) -> list[str]:
    return next(filter(None, mistakes), [])


def data_files(config: Config) -> list[pathlib.Path]:
    """The table's files, in order; of files by span, one of the last.

    Raises:
        UserError: there is none.
    """
    path, folder = config.data.path, config.data.folder
    by_span = re.sub(r"\{[A-Z]+(:\d+)?\}", "*", config.data.pattern)
    files = sorted(file for file in folder.glob(by_span) if file.is_file())
    if files:
        return files if by_span == config.data.pattern else files[-1:]
    if path.is_dir():
        raise UserError(f"data.path: the folder is empty: {path}")
    raise UserError(f"data.path: no such file or folder: {path}")


def check_model(config: Config) -> None:
    """Imports the `model_fn` and checks its parameters, searched ones too, if it declares them.

    Raises:
        UserError: there is no such model, or it takes no such parameters.
    """
    from models import registry

    try:
        registry.check(config.model.name, config.model.params)
    except ValueError as error:
        raise UserError(str(error)) from None
    if config.tune and (mistakes := _search_mistakes(config)):
        raise UserError("\n".join(mistakes))


def _search_mistakes(config: Config) -> list[str]:
    """Model parameters that are searched although there are none such, or with wrong values."""
    from models import registry

    assert config.tune
    mistakes = []
    for key, dimension in config.tune.search.items():
        name = key.removeprefix(MODEL_PARAMS)
        for value in dimension.samples if name != key else ():
            try:
                registry.check(config.model.name, {**config.model.params, name: value})
            except ValueError as error:
                mistakes.append(f"tune.search.{error}")
                break
    return mistakes


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
        with _open_csv(config, file) as lines:
            header = next(csv.reader(lines), [])
    except (UnicodeDecodeError, csv.Error, OSError, EOFError) as error:
        raise UserError(_unreadable(config, file, error)) from None
    repeated = sorted({name for name in header if header.count(name) > 1})
    if not header:
        raise UserError(f"data.path: {file}: is empty; expected a header line and rows")
    if repeated:
        raise UserError(f"data.path: {file}: columns stand twice: {', '.join(repeated)}")
    return header


def _open_csv(config: Config, file: pathlib.Path) -> TextIO:
    encoding = "utf-8-sig" if config.data.encoding == "utf-8" else config.data.encoding
    # What cannot be read is put aside later, where that is wanted.
    errors = "strict" if config.data.on_bad_rows == "refuse" else "replace"
    opened = gzip.open if file.suffix == ".gz" else open
    return opened(file, "rt", newline="", encoding=encoding, errors=errors)


def _tfrecord_columns(file: pathlib.Path) -> list[str]:
    import tensorflow as tf

    compression = "GZIP" if file.suffix == ".gz" else ""
    try:
        record = next(iter(tf.data.TFRecordDataset(str(file), compression)))
    except (StopIteration, tf.errors.OpError):
        raise UserError(f"data.path: {file}: holds no TFRecord of tf.Examples") from None
    return list(tf.train.Example.FromString(record.numpy()).features.feature)


def _derived_mistakes(config: Config, columns: list[str], file: pathlib.Path) -> list[str]:
    mistakes = []
    for name, text in config.derived.items():
        if name in columns:
            mistakes.append(f"derived.{name}: is a column of {file} too; choose another name")
        mistakes += [
            f"derived.{name}: no column {used} in {file}{nearest(used, columns)}"
            for used in expressions.parse(text).columns
            if used not in columns and used not in config.derived
        ]
    return mistakes


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


def _header_mistakes(config: Config, files: list[pathlib.Path], columns: list[str]) -> list[str]:
    """The files of a table have one header."""
    return [
        f"data.path: {file}:1: the columns are not those of {files[0].name}, in the same order; "
        "give every file the same header"
        for file in files[1:]
        if _columns(config, file) != columns
    ]


def _row_mistakes(config: Config, file: pathlib.Path) -> list[str]:
    """Looks at every row: as wide as the header, and what is learned, weighed or banded is there.

    A value is checked by the role that its column has. Where bad rows are put aside, it is
    ExampleGen that finds the ones that are no rows.
    """
    seen = 0
    refuse = config.data.on_bad_rows == "refuse"
    try:
        with _open_csv(config, file) as lines:
            rows = csv.reader(lines)
            header = next(rows)
            checks = [(header.index(name), name, check) for name, check in _checks(config)]
            for row in _rows(rows, skip_errors=not refuse):
                seen += 1
                where = f"{file}:{rows.line_num}"
                if len(row) != len(header):
                    if not refuse:
                        continue
                    return [
                        f"{where}: found {len(row)} fields, expected {len(header)} as in the header"
                    ]
                for place, name, check in checks:
                    if mistake := check(row[place]):
                        return [f"{where}: {name}: {mistake}"]
    except (UnicodeDecodeError, csv.Error, EOFError) as error:
        return [_unreadable(config, file, error)]
    return [] if seen else [f"data.path: {file}: has a header but no rows"]


def _rows(rows: Iterator[list[str]], skip_errors: bool) -> Iterator[list[str]]:
    """The rows that are not blank."""
    while True:
        try:
            row = next(rows, None)
        except csv.Error:
            if not skip_errors:
                raise
            continue
        if row is None:
            return
        if row:
            yield row


def _checks(config: Config) -> list[tuple[str, Callable[[str], str]]]:
    """Columns, and what is wrong with a value of each: a message, or empty text."""
    checks = [(name, _label_mistake(task)) for name, task in _tasks(config).items()]
    if config.weight:
        checks.append((config.weight, _weight_mistake))
    if config.splits.key:
        checks.append((config.splits.key, _key_mistake))
    return checks + [(part.column, _band_mistake) for part in config.slices if part.bands]


def _tasks(config: Config) -> dict[str, str]:
    """The tasks of all labels by column."""
    further = {name: label.task for name, label in config.more_labels.items()}
    return {config.label: config.task, **further}


def _label_mistake(task: str) -> Callable[[str], str]:
    def mistake(value: str) -> str:
        if not value:
            return "the label is empty; remove the row or fill it in"
        if task == "regression" and not _is_number(value):
            return f"found {value!r}, expected a number; choose another label, or task: multiclass"
        return ""

    return mistake


def _weight_mistake(value: str) -> str:
    if not value:
        return "the weight is empty; remove the row or fill it in"
    if not _is_number(value) or float(value) < 0:
        return f"found {value!r}, expected a number from zero up as the weight"
    return ""


def _key_mistake(value: str) -> str:
    return "" if value else "the key is empty; remove the row or fill it in"


def _band_mistake(value: str) -> str:
    if value and not _is_number(value):
        return f"found {value!r}, expected a number; only numbers have bands (slices)"
    return ""


def _key_mistakes(config: Config, files: list[pathlib.Path]) -> list[str]:
    """ExampleGen hashes text and whole numbers; it reads a column as fractional if one value is."""
    if not config.splits.key:
        return []
    fractional = ""
    for file in files:
        with _open_csv(config, file) as lines:
            reader = csv.reader(lines)
            place = next(reader).index(config.splits.key)
            for row in _rows(reader, skip_errors=True):
                value = row[place] if place < len(row) else ""
                if not _is_number(value):
                    return []
                fractional = fractional or ("" if _is_whole(value) else value)
    if not fractional:
        return []
    return [
        f"splits.key: {config.splits.key} holds fractional numbers, as {fractional}; expected text "
        "or whole numbers"
    ]


def _is_whole(text: str) -> bool:
    try:
        int(text)
    except ValueError:
        return False
    return True


def _parquet_mistakes(config: Config, file: pathlib.Path) -> list[str]:
    """Looks at the columns that every row needs, a batch of rows at a time."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet

    def is_number(kind: pa.DataType) -> bool:
        return any(
            test(kind) for test in (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)
        )

    types = {field.name: field.type for field in pyarrow.parquet.read_schema(file)}
    key, weight, tasks = config.splits.key, config.weight, _tasks(config)
    numbers = [name for name, task in tasks.items() if task == "regression"]
    for name in [*numbers, *([weight] if weight else [])]:
        if not is_number(types[name]) and not pa.types.is_boolean(types[name]):
            role = "weight" if name == weight else "label of a regression"
            return [f"{file}: {name}: found {types[name]}, expected numbers as the {role}"]
    if key and (pa.types.is_floating(types[key]) or pa.types.is_decimal(types[key])):
        return [
            f"splits.key: {key} holds fractional numbers ({types[key]}); expected text or whole "
            "numbers"
        ]
    roles = dict.fromkeys(tasks, "label")
    roles |= {name: role for name, role in ((weight, "weight"), (key, "key")) if name}
    start = 0
    with pyarrow.parquet.ParquetFile(file) as table:
        for batch in table.iter_batches(columns=list(roles)):
            for name, role in roles.items():
                values = batch.column(name)
                wrong = values.is_null()
                if pa.types.is_floating(values.type):
                    wrong = pc.or_(pc.invert(pc.is_finite(values.fill_null(0))), wrong)
                if wrong.true_count:
                    row = start + pc.index(wrong, True).as_py() + 1
                    return [
                        f"{file}: row {row}: {name}: the {role} is missing or not finite; remove "
                        "the row or fill it in"
                    ]
                if (
                    name == weight
                    and batch.num_rows
                    and pc.min(values.cast(pa.float64())).as_py() < 0
                ):
                    negative = pc.index(pc.less(values.cast(pa.float64()), 0.0), True).as_py()
                    return [
                        f"{file}: row {start + negative + 1}: {name}: found "
                        f"{values[negative].as_py()}, expected a number from zero up as the weight"
                    ]
            start += batch.num_rows
    return []


def _unreadable(config: Config, file: pathlib.Path, error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return _undecodable(config, file)
    return f"data.path: {file}: cannot be read: {getattr(error, 'strerror', None) or error}"


def _undecodable(config: Config, file: pathlib.Path) -> str:
    """Where the first value is that is not of the encoding."""
    opened = gzip.open if file.suffix == ".gz" else open
    with opened(file, "rt", newline="", encoding="utf-8", errors="surrogateescape") as lines:
        rows = csv.reader(lines)
        header = next(rows)
        for row in itertools.chain([header], rows):
            for name, value in zip(header, row):
                found = value.encode("utf-8", "surrogateescape")
                if not value.isprintable() and found != value.encode("utf-8", "replace"):
                    where = f"{rows.line_num}: " + (f"{name}: " if row is not header else "")
                    return (
                        f"{file}:{where}found {found.decode('latin-1')!r}, which is not "
                        f"{config.data.encoding}; set data.encoding: latin-1"
                    )
    return f"data.path: {file}: is not {config.data.encoding} text; convert it first"


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
