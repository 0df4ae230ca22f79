"""A table as the pipeline will see it: the profiles of its columns, its schema and its features."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from components.tables.column_kinds import Kind
from components.tables.column_profile import ColumnProfile, Wanted
from components.tables.profile import TableProfile
from models.features import features as features_lib
from models.features import text_values
from models.features.features import Feature
from pipeline.config.configuration import Config
from pipeline.config.problem_settings import column_settings
from pipeline.preflight.split_counts import SplitCounts

WHOLE_NUMBER = r"[+-]?[0-9]+"

_TYPES = {
    Kind.UNKNOWN: schema_pb2.BYTES,
    Kind.INT: schema_pb2.INT,
    Kind.FLOAT: schema_pb2.FLOAT,
    Kind.BYTES: schema_pb2.BYTES,
}

_KINDS = {_TYPES[kind]: kind for kind in (Kind.INT, Kind.FLOAT, Kind.BYTES)}


@dataclasses.dataclass(frozen=True)
class TableView:
    """The input of the checks of a table.

    Attributes:
        config: the problem's configuration.
        profile: the profile of the table.
        schema: the curated schema, or an approximation of the one that SchemaGen will infer.
        is_curated: whether the schema is the curated one.
        splits: the contents of the splits, if they were counted.
    """

    config: Config
    profile: TableProfile
    schema: schema_pb2.Schema
    is_curated: bool
    splits: SplitCounts | None = None

    @classmethod
    def of(
        cls, config: Config, profile: TableProfile, curated: schema_pb2.Schema | None
    ) -> "TableView":
        """Makes a view with the curated schema, or an inferred one if `curated` is None."""
        schema = _inferred(config, profile) if curated is None else curated
        return cls(config, profile, schema, curated is not None)

    @property
    def columns(self) -> Mapping[str, ColumnProfile]:
        """The profiles by column."""
        return self.profile.columns

    @property
    def is_csv(self) -> bool:
        """Whether the table consists of CSV files."""
        return self.config.data.format == "csv"

    def features(self) -> tuple[Feature, ...]:
        """Returns the features that the schema and the configuration define.

        Raises:
            ValueError: see `features.resolve`.
        """
        return features_lib.resolve(self.schema, column_settings(self.config))

    def kinds(self) -> dict[str, Kind]:
        """Returns the types that ingestion reads; in CSV, those of a curated schema come first."""
        kinds = {name: column.kind for name, column in self.columns.items()}
        if self.is_curated and self.is_csv:
            named = {feature.name: feature.type for feature in self.schema.feature}
            kinds |= {name: _KINDS[named[name]] for name in kinds if named.get(name) in _KINDS}
        return kinds

    def overridden(self, kind: str) -> list[ColumnProfile]:
        """Returns the columns configured as features of a kind, except lists and empty columns."""
        return [
            self.columns[name]
            for name, feature in self.config.features.items()
            if feature.kind == kind
            and self.columns[name].present
            and not self.columns[name].is_list
        ]


def wanted(config: Config, curated: schema_pb2.Schema | None) -> dict[str, Wanted]:
    """Returns what the profile must find out about each column, beyond the default."""
    by_column: dict[str, Wanted] = {}

    def want(name: str | None, more: Wanted) -> None:
        if name:
            by_column[name] = by_column.get(name, Wanted()) | more

    for name, task in config.tasks.items():
        want(name, Wanted(located=True, values=task != "regression"))
    want(config.weight, Wanted(located=True))
    want(config.splits.key, Wanted(located=True, values=True, pattern=WHOLE_NUMBER))
    for part in config.slices:
        want(part.column, Wanted(located=bool(part.bands)))
    named_truths = {
        feature.name
        for feature in (curated.feature if curated else ())
        if feature.bool_domain.true_value
    }
    for name, feature in config.features.items():
        if feature.kind == "date":
            want(name, Wanted(pattern=text_values.DATE))
        elif feature.kind == "boolean" and name not in named_truths:
            want(name, Wanted(pattern=f"(?:{text_values.TRUE}|{text_values.FALSE})"))
        elif feature.kind == "ordinal":
            order = "|".join(_code(code) for code in feature.order or ())
            want(name, Wanted(values=True, pattern=f"(?:{order})"))
    return by_column


def _code(code: Any) -> str:
    if isinstance(code, int):
        return rf"\s*{'-' if code < 0 else '[+]?'}0*{abs(code)}\s*"
    return re.escape(code)


def _inferred(config: Config, profile: TableProfile) -> schema_pb2.Schema:
    schema = schema_pb2.Schema()
    for column in profile.columns.values():
        feature = schema.feature.add(name=column.name, type=_TYPES[column.kind])
        if column.kind == Kind.UNKNOWN:
            override = config.features.get(column.name)
            # A column without values can be of whatever type its configured kind needs.
            if override and override.kind in ("numeric", "sequence"):
                feature.type = schema_pb2.FLOAT
            elif override and override.order and isinstance(override.order[0], int):
                feature.type = schema_pb2.INT
        if column.name in profile.dates and column.kind == Kind.BYTES:
            feature.time_domain.SetInParent()
        if column.is_list:
            feature.value_count.min = 1
        elif not column.missing:
            feature.shape.dim.add(size=1)
        is_bit = column.kind == Kind.INT and column.low >= 0 and column.high == 1
        if column.is_boolean or (is_bit and not column.is_list):
            feature.bool_domain.SetInParent()
    return schema
