"""Which columns are features, and how each is read: the schema, plus the configuration's overrides.

The schema knows types, domains and what may be missing; an override says what a type alone cannot
(a zip code is a category, a text column holds dates). `resolve` merges the two.
"""

import dataclasses
import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

NUMERIC = "numeric"
CATEGORICAL = "categorical"
BOOLEAN = "boolean"
DATE = "date"
IGNORE = "ignore"

DTYPES = {schema_pb2.BYTES: "text", schema_pb2.INT: "whole numbers", schema_pb2.FLOAT: "numbers"}


@dataclasses.dataclass(frozen=True)
class Feature:
    """One column of the raw examples that the model sees.

    Attributes:
        name: the column.
        kind: numeric, categorical, boolean or date.
        dtype: `text`, `whole numbers` or `numbers`, as the raw examples hold it.
        optional: whether it may be missing; then the model gets an indicator beside it.
        vocabulary, min_count, oov_buckets: of a category.
        true_value: the text that is true, of a boolean whose schema names it.
    """

    name: str
    kind: str
    dtype: str
    optional: bool
    vocabulary: int = 10_000
    min_count: int = 5
    oov_buckets: int = 1
    true_value: str = ""


def resolve(
    schema: schema_pb2.Schema,
    overrides: Mapping[str, Mapping[str, Any]],
    label: str,
) -> tuple[Feature, ...]:
    """Merges the schema with the overrides.

    Args:
        schema: the curated or inferred schema of the raw examples.
        overrides: by column: `kind` and the settings of `Feature`.
        label: the label's column; never a feature.

    Returns:
        The features in the schema's order.

    Raises:
        ValueError: an override names no column, or a column cannot be what it is said to be.
    """
    columns = {feature.name: feature for feature in schema.feature}
    for name in [label, *overrides]:
        if name not in columns:
            raise ValueError(f"column {name}: not in the schema, which has {', '.join(columns)}")
    features = (
        _resolve_column(column, overrides.get(name, {}))
        for name, column in columns.items()
        if name != label
    )
    resolved = tuple(feature for feature in features if feature is not None)
    if not resolved:
        raise ValueError("no column is left to learn from: every column is the label or ignored")
    return resolved


def _resolve_column(column: schema_pb2.Feature, override: Mapping[str, Any]) -> Feature | None:
    kind = override.get("kind") or _kind(column)
    if kind == IGNORE or column.lifecycle_stage == schema_pb2.DEPRECATED:
        return None
    if column.type not in DTYPES:
        raise ValueError(
            f"column {column.name}: has no type in the schema; set features."
            f"{column.name}: ignore or curate the schema"
        )
    if column.value_count.max > 1 or any(dim.size != 1 for dim in column.shape.dim):
        raise ValueError(
            f"column {column.name}: holds lists; expected one value per example; set features."
            f"{column.name}: ignore"
        )
    dtype = DTYPES[column.type]
    if (kind == NUMERIC and dtype == "text") or (kind == DATE and dtype != "text"):
        wanted = "numbers" if kind == NUMERIC else "text such as 2014-10-13"
        raise ValueError(f"column {column.name}: cannot be {kind}: it holds {dtype}, not {wanted}")
    if kind == CATEGORICAL and dtype == "numbers":
        raise ValueError(
            f"column {column.name}: cannot be categorical: it holds fractional numbers; "
            "make it numeric, or text in the table"
        )
    settings = {key: value for key, value in override.items() if key != "kind"}
    # Without a fixed shape a column is parsed as sparse: it may be absent from an example.
    if kind == BOOLEAN and column.bool_domain.true_value:
        settings["true_value"] = column.bool_domain.true_value
    return Feature(column.name, kind, dtype, not column.HasField("shape"), **settings)


def _kind(column: schema_pb2.Feature) -> str:
    domain = column.WhichOneof("domain_info")
    if domain == "bool_domain":
        return BOOLEAN
    if domain in ("time_domain", "time_of_day_domain"):
        return DATE
    if column.type == schema_pb2.INT and domain == "int_domain":
        if column.int_domain.is_categorical:
            return CATEGORICAL
        if (column.int_domain.min, column.int_domain.max) == (0, 1):
            return BOOLEAN
    return CATEGORICAL if column.type == schema_pb2.BYTES else NUMERIC


FILE_NAME = "features.json"
"""In an export's `assets.extra/`: the features it reads, and all columns of the raw examples."""


def signature(schema: schema_pb2.Schema, features: Sequence[Feature]) -> str:
    """The content of `FILE_NAME`."""
    content = {
        "features": [dataclasses.asdict(feature) for feature in features],
        "columns": [feature.name for feature in schema.feature],
    }
    return json.dumps(content, indent=2)


def of_export(export: str) -> tuple[Feature, ...]:
    """The features that an exported model reads (a SavedModel's directory)."""
    content = json.loads((pathlib.Path(export) / "assets.extra" / FILE_NAME).read_text())
    return tuple(Feature(**feature) for feature in content["features"])
