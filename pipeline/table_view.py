"""A table as the pipeline will see it: the profile of its columns, and what each is used for."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from components.tables.profile import ColumnProfile, TableProfile, Wanted
from components.tables.table import Kind
from models import features as features_lib
from models import values
from models.features import Feature
from pipeline.config import Config
from pipeline.problem_settings import settings
from pipeline.split_counts import SplitCounts

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
    """What the checks of a table look at.

    Attributes:
        config: the problem.
        profile: what the table holds.
        schema: the curated one; without it, about the one that SchemaGen will infer.
        is_curated: whether a person wrote the schema.
        splits: what the splits will get, if it was counted.
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
        """Makes the view; of columns that the curated schema has and the table lacks, none."""
        schema = _inferred(config, profile) if curated is None else curated
        return cls(config, profile, schema, curated is not None)

    @property
    def columns(self) -> Mapping[str, ColumnProfile]:
        """Profiles by column."""
        return self.profile.columns

    @property
    def is_csv(self) -> bool:
        """Whether values are texts on lines."""
        return self.config.data.format == "csv"

    def features(self) -> tuple[Feature, ...]:
        """Returns the features that the schema and the configuration make.

        Raises:
            ValueError: see `features.resolve`.
        """
        return features_lib.resolve(self.schema, self.settings)

    @property
    def settings(self) -> dict[str, Any]:
        """What `features.resolve` wants."""
        return settings(self.config)

    def kinds(self) -> dict[str, Kind]:
        """Returns what ingestion reads columns as: a curated schema says it of CSV."""
        kinds = {name: column.kind for name, column in self.columns.items()}
        if self.is_curated and self.is_csv:
            named = {feature.name: feature.type for feature in self.schema.feature}
            kinds |= {name: _KINDS[named[name]] for name in kinds if named.get(name) in _KINDS}
        return kinds

    def overridden(self, kind: str) -> list[ColumnProfile]:
        """Columns with values that the configuration says to be of a kind."""
        return [
            self.columns[name]
            for name, feature in self.config.features.items()
            if feature.kind == kind
            and self.columns[name].present
            and not self.columns[name].is_list
        ]


def wanted(config: Config, curated: schema_pb2.Schema | None) -> dict[str, Wanted]:
    """Returns what to find out about single columns of a problem's table."""
    found: dict[str, Wanted] = {}

    def want(name: str | None, own: Wanted) -> None:
        if name:
            found[name] = found.get(name, Wanted()) | own

    for name, task in config.tasks.items():
        want(name, Wanted(places=True, values=task != "regression"))
    want(config.weight, Wanted(places=True))
    want(config.splits.key, Wanted(places=True, values=True, pattern=WHOLE_NUMBER))
    for part in config.slices:
        want(part.column, Wanted(places=bool(part.bands)))
    named_truths = {
        feature.name
        for feature in (curated.feature if curated else ())
        if feature.bool_domain.true_value
    }
    for name, feature in config.features.items():
        if feature.kind == "date":
            want(name, Wanted(pattern=values.DATE))
        elif feature.kind == "boolean" and name not in named_truths:
            want(name, Wanted(pattern=f"(?:{values.TRUE}|{values.FALSE})"))
        elif feature.kind == "ordinal":
            order = "|".join(_code(code) for code in feature.order or ())
            want(name, Wanted(values=True, pattern=f"(?:{order})"))
    return found


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
            # What the column is said to be, a column without values can be.
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
        if column.is_truth or (is_bit and not column.is_list):
            feature.bool_domain.SetInParent()
    return schema
