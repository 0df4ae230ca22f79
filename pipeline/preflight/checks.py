"""Checks before any long work that the configured table, schema and model exist and fit."""

import dataclasses
import pathlib
import re
from collections.abc import Iterable

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.tables import profile as profile_lib
from components.tables import sources
from components.tables import table_files as files_lib
from components.tables.csv_rows import CsvSource
from components.tables.parquet_file import ParquetSource
from components.tables.partitions import PartitionedSource
from components.tables.table import BadTable
from models.errors import UserError, nearest
from models.features import expressions
from pipeline.config.configuration import Config
from pipeline.config.tune_config import MODEL_PARAMS
from pipeline.preflight import split_counts, table_report, table_rules, table_view
from pipeline.preflight.table_report import TableReport
from pipeline.preflight.table_view import TableView


def check_data(config: Config) -> TableReport | None:
    """Checks that the table and the curated schema exist and fit the configuration.

    Returns:
        A report on the table; None for TFRecords, which are not profiled.

    Raises:
        UserError: the table or the schema has mistakes; the message has one line for each.
    """
    files = data_files(config)
    try:
        return _check_table(config, files)
    except BadTable as error:
        text = str(error)
        is_of_file = any(text.startswith(f"{file}: ") for file in files)
        raise UserError(f"data.path: {text}" if is_of_file else text) from None


def _check_table(config: Config, files: list[pathlib.Path]) -> TableReport | None:
    data = config.data
    paths = [str(file) for file in files]
    classes = [name for name, task in config.tasks.items() if task != "regression"]
    reading = dataclasses.replace(data.reading, classes=classes)
    source = sources.open_source(paths, reading, folder=str(data.folder))
    if isinstance(source, CsvSource | ParquetSource | PartitionedSource):
        columns = list(source.names)
    else:
        columns = _tfrecord_columns(files[0])
    mistakes = _column_mistakes(config, columns, files[0])
    schema = None
    if data.schema_file:
        schema, of_schema = _read_schema(data.schema_file)
        mistakes += of_schema or _schema_mistakes(data.schema_file, schema, columns, files[0])
    if mistakes:
        raise UserError("\n".join(mistakes))
    if not isinstance(source, CsvSource | ParquetSource | PartitionedSource):
        return None
    wanted = table_view.wanted(config, schema)
    profile = profile_lib.profile(source, paths, wanted, data.on_bad_rows == "refuse")
    view = TableView.of(config, profile, schema)
    mistakes = table_rules.mistakes(view)
    if not mistakes and not _is_by_span(config):
        counted = split_counts.count(
            config.splits,
            source,
            paths,
            view.kinds(),
            profile,
            list(config.tasks),
            view.features(),
        )
        view = dataclasses.replace(view, splits=counted)
        mistakes = list(table_rules.splits_have_rows(view))
    if mistakes:
        raise UserError("\n".join(mistakes))
    return table_report.report(view)


def _column_mistakes(config: Config, columns: list[str], file: pathlib.Path) -> list[str]:
    """Returns a message for each name in the configuration that is not a column."""
    named: dict[str, list[str]] = {
        "label": [config.label],
        "more_labels": list(config.more_labels),
        "weight": [config.weight] if config.weight else [],
        "splits.key": [config.splits.key] if config.splits.key else [],
        "features": list(config.features),
        "slices": [part.column for part in config.slices],
    }
    mistakes = [
        f"{key}: no column {name} in {file}{nearest(name, columns)}"
        for key, names in named.items()
        for name in names
        if name not in columns
    ]
    return mistakes + _derived_mistakes(config, columns, file)


def _is_by_span(config: Config) -> bool:
    """Returns whether the path selects files by span, of which only the last one is checked."""
    return re.search(_SPAN, config.data.pattern) is not None


_SPAN = r"\{[A-Z]+(:\d+)?\}"


def data_files(config: Config) -> list[pathlib.Path]:
    """Returns the table's files, in order; if the path selects files by span, only the last one.

    Raises:
        UserError: no file matches.
    """
    path, folder = config.data.path, config.data.folder
    by_span = re.sub(_SPAN, "*", config.data.pattern)
    files = [pathlib.Path(file) for file in files_lib.matching(str(folder), by_span)]
    if files:
        return files if by_span == config.data.pattern else files[-1:]
    if path.is_dir():
        inner = sorted(file for file in path.iterdir() if file.is_dir())
        if inner:
            raise UserError(
                f"data.path: {path} has only folders, as {inner[0].name}; name the files by a "
                f"pattern, as {path}/*/*.{config.data.format}"
            )
        raise UserError(f"data.path: the folder is empty: {path}")
    raise UserError(f"data.path: no such file or folder: {path}")


def check_model(config: Config) -> None:
    """Imports the `model_fn` and checks the configured and searched parameters that it declares.

    Raises:
        UserError: the model does not exist, does not take these parameters, or cannot be trained
            on several devices as configured.
    """
    from models.zoo import registry

    registry.check(config.model.name, config.model.params)
    cluster = config.train.cluster
    if cluster and cluster.mirrored and config.model.name in registry.ON_ONE_DEVICE:
        raise UserError(
            f"train.cluster.mirrored: found with {config.model.name}, which is trained on one "
            "device only; choose another model, as mlp, or remove mirrored"
        )
    if config.tune and (mistakes := _search_mistakes(config)):
        raise UserError("\n".join(mistakes))


def _search_mistakes(config: Config) -> list[str]:
    """Returns a message for each searched model parameter that is unknown or has invalid values."""
    from models.zoo import registry

    assert config.tune
    mistakes = []
    for key, dimension in config.tune.search.items():
        name = key.removeprefix(MODEL_PARAMS)
        for value in dimension.samples if name != key else ():
            try:
                registry.check(config.model.name, {**config.model.params, name: value})
            except UserError as error:
                mistakes.append(f"tune.search.{error}")
                break
    return mistakes


def _tfrecord_columns(file: pathlib.Path) -> list[str]:
    import tensorflow as tf

    compression = "GZIP" if files_lib.is_zipped(str(file)) else ""
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


def _read_schema(path: pathlib.Path) -> tuple[schema_pb2.Schema, list[str]]:
    """Returns the curated schema and the reasons, if any, why it cannot be read."""
    schema = schema_pb2.Schema()
    if not path.exists():
        return schema, [f"data.schema: no such file: {path}"]
    try:
        text_format.Parse(path.read_text(encoding="utf-8"), schema)
    except text_format.ParseError as error:
        line = f"data.schema: {path}:{error.GetLine()}: {' '.join(str(error).split())}"
        return schema, [line]
    except UnicodeDecodeError:
        return schema, [f"data.schema: {path}: is not UTF-8 text; convert it first"]
    except OSError as error:
        return schema, [f"data.schema: {path}: cannot be read: {error.strerror}"]
    return schema, []


def _schema_mistakes(
    path: pathlib.Path, schema: schema_pb2.Schema, columns: Iterable[str], file: pathlib.Path
) -> list[str]:
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
