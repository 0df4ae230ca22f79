"""Checks of the data and the model before anything runs: does what the configuration says exist?"""

import pathlib
import re
from collections.abc import Iterable

from models import expressions
from pipeline import csv_checks
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
        mistakes = csv_checks.mistakes(config, files, columns)
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
        UserError: there is no such model, it takes no such parameters, or replicas cannot train it.
    """
    from models import registry

    try:
        registry.check(config.model.name, config.model.params)
    except ValueError as error:
        raise UserError(str(error)) from None
    cluster = config.train.cluster
    if cluster and cluster.mirrored and config.model.name in registry.ON_ONE_DEVICE:
        raise UserError(
            f"train.cluster.mirrored: found with {config.model.name}, which is trained on one "
            "device only; choose another model, as mlp, or remove mirrored"
        )
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
    return csv_checks.columns(config, file)


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
    key, weight, tasks = config.splits.key, config.weight, config.tasks
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
