"""Checks that the columns which the configuration and the curated schema name are in the table."""

import pathlib
from collections.abc import Sequence

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from models.errors import nearest
from models.features import expressions
from pipeline.config.configuration import Config


def configured_mistakes(config: Config, columns: Sequence[str], file: str) -> list[str]:
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


def _derived_mistakes(config: Config, columns: Sequence[str], file: str) -> list[str]:
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


def read_schema(path: pathlib.Path) -> tuple[schema_pb2.Schema, list[str]]:
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


def schema_mistakes(
    path: pathlib.Path, schema: schema_pb2.Schema, columns: Sequence[str], file: str
) -> list[str]:
    """Returns a message for each column without a feature, and for each required one missing."""
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
