"""Which columns are features, and how each is read: the schema, plus the configuration's overrides.

The schema knows types, domains and what may be missing; an override says what a type alone cannot
(a zip code is a category, a text column holds dates). `resolve` merges the two.
"""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from etils import epath
from tensorflow_metadata.proto.v0 import schema_pb2

from models import expressions, values

NUMERIC = "numeric"
ORDINAL = "ordinal"
CATEGORICAL = "categorical"
BOOLEAN = "boolean"
DATE = "date"
SEQUENCE = "sequence"
DERIVED = "derived"
IGNORE = "ignore"

NUMBERS = (NUMERIC, ORDINAL, DATE, DERIVED)
"""The kinds that are numbers to a model."""

DTYPES = {schema_pb2.BYTES: "text", schema_pb2.INT: "whole numbers", schema_pb2.FLOAT: "numbers"}


@dataclasses.dataclass(frozen=True)
class Feature:
    """What the model sees of one column of the raw examples, or of several.

    Attributes:
        name: the column, or the name of what is derived.
        kind: numeric, ordinal, categorical, boolean, date, sequence or derived.
        dtype: `text`, `whole numbers` or `numbers`, as the raw examples hold it.
        optional: whether it may be missing; then the model gets an indicator beside it (none
            beside a sequence, which is empty then).
        vocabulary, min_count, oov_buckets: of a category.
        true_value: the text that is true, of a boolean whose schema names another than those that
            `values.TRUE` and `values.FALSE` match.
        order: the values of an ordinal column, rising.
        length: of every list of a sequence; 0 where lists differ.
        expression: the arithmetic that derives it.
        operands: what the expression reads: columns, or what is derived itself.
    """

    name: str
    kind: str
    dtype: str
    optional: bool
    vocabulary: int = 10_000
    min_count: int = 5
    oov_buckets: int = 1
    true_value: str = ""
    order: tuple[str, ...] | tuple[int, ...] = ()
    length: int = 0
    expression: str = ""
    operands: tuple["Feature", ...] = ()


_LEFT_OUT = (schema_pb2.DEPRECATED, schema_pb2.DISABLED)
"""Stages of columns that are no features. DISABLED: without a value in the train split."""


def resolve(schema: schema_pb2.Schema, problem: Mapping[str, Any]) -> tuple[Feature, ...]:
    """Merges the schema with what the configuration says.

    Args:
        schema: the curated or inferred schema of the raw examples.
        problem: `labels`, a list of mappings with a `name`, and `weight`, a column or None: these
            are never features; `features`: overrides by column, `kind` and the settings of
            `Feature`; `derived`: expressions by name. All but `labels` may be left out.

    Returns:
        The features in the schema's order, then the derived ones by name: the order of a mapping
        does not survive TFX. Columns without a value in the train split are left out, and what is
        derived of them; see `notes`.

    Raises:
        ValueError: an override names no column, or a column cannot be what it is said to be.
    """
    columns = {feature.name: feature for feature in schema.feature}
    labels = [label["name"] for label in problem["labels"]]
    weight = problem.get("weight")
    overrides = problem.get("features") or {}
    for name in [*labels, *([weight] if weight else []), *overrides]:
        if name not in columns:
            raise ValueError(f"column {name}: not in the schema, which has {', '.join(columns)}")
    for name in [*labels, *([weight] if weight else [])]:
        if columns[name].lifecycle_stage == schema_pb2.DISABLED:
            raise ValueError(f"column {name}: has no value in the train split")
    resolved = {
        name: _resolve_column(column, overrides.get(name, {}))
        for name, column in columns.items()
        if name not in labels and name != weight
    }
    features = [feature for feature in resolved.values() if feature is not None]
    derivation = _Derivation(columns, resolved, problem.get("derived") or {})
    derived = [derivation.of(name) for name in sorted(derivation.expressions)]
    features += [feature for feature in derived if feature is not None]
    if not features:
        raise ValueError("no column is left to learn from: every column is the label or ignored")
    return tuple(features)


def _resolve_column(column: schema_pb2.Feature, override: Mapping[str, Any]) -> Feature | None:
    kind = override.get("kind") or _kind(column)
    if kind == IGNORE or column.lifecycle_stage in _LEFT_OUT:
        return None
    if column.type not in DTYPES:
        raise ValueError(
            f"column {column.name}: has no type in the schema; set features."
            f"{column.name}: ignore or curate the schema"
        )
    dtype = DTYPES[column.type]
    _check_kind(column, kind, dtype)
    settings = {key: value for key, value in override.items() if key != "kind"}
    words = column.bool_domain.true_value, column.bool_domain.false_value
    if kind == BOOLEAN and words[0] and not values.is_plain_truth(*words):
        settings["true_value"] = words[0]
    if kind == SEQUENCE and column.shape.dim:
        settings["length"] = column.shape.dim[0].size
    if kind == ORDINAL:
        settings["order"] = _order(column, dtype, settings.get("order", ()))
    # Without a fixed shape a column is parsed as sparse: it may be absent from an example.
    return Feature(column.name, kind, dtype, not column.HasField("shape"), **settings)


def _check_kind(column: schema_pb2.Feature, kind: str, dtype: str) -> None:
    name = column.name
    if column.HasField("value_counts") or len(column.shape.dim) > 1:
        raise ValueError(
            f"column {name}: holds lists of lists; expected one value or one list per example; "
            f"set features.{name}: ignore"
        )
    if kind == SEQUENCE and dtype == "text":
        raise ValueError(
            f"column {name}: holds lists of text; only numbers can be a sequence; set features."
            f"{name}: ignore"
        )
    if kind != SEQUENCE and holds_lists(column):
        raise ValueError(
            f"column {name}: holds lists; expected one value per example to be {kind}; set "
            f"features.{name}: sequence or ignore"
        )
    if (kind == NUMERIC and dtype == "text") or (kind == DATE and dtype == "numbers"):
        wanted = "numbers" if kind == NUMERIC else "dates such as 2014-10-13 or 20141013"
        raise ValueError(f"column {name}: cannot be {kind}: it holds {dtype}, not {wanted}")
    if kind in (CATEGORICAL, ORDINAL) and dtype == "numbers":
        raise ValueError(
            f"column {name}: cannot be {kind}: it holds fractional numbers; "
            "make it numeric, or text in the table"
        )


def holds_lists(column: schema_pb2.Feature) -> bool:
    """Whether the schema says so; of a column without `shape` and `value_count` it says nothing."""
    if column.shape.dim:
        return any(dim.size != 1 for dim in column.shape.dim)
    # Without a maximum a list may be of any length.
    return column.HasField("value_count") and column.value_count.max != 1


def _order(column: schema_pb2.Feature, dtype: str, order: Sequence) -> tuple:
    wanted = str if dtype == "text" else int
    strange = next((value for value in order if not isinstance(value, wanted)), None)
    if strange is not None:
        quoted = "in quotes" if dtype == "text" else "without quotes"
        raise ValueError(
            f"column {column.name}: holds {dtype}, but its order has {strange!r}; write its values "
            f"{quoted}"
        )
    return tuple(order)


def _kind(column: schema_pb2.Feature) -> str:
    if holds_lists(column):
        return SEQUENCE
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


class _Derivation:
    """Makes features of expressions, which may read each other in any order but not in a circle."""

    def __init__(
        self,
        columns: Mapping[str, schema_pb2.Feature],
        resolved: Mapping[str, Feature | None],
        derived: Mapping[str, str],
    ):
        self.expressions = derived
        self._columns = columns
        self._resolved = resolved
        self._done: dict[str, Feature | None] = {}
        for name in derived:
            if name in columns:
                raise ValueError(f"derived.{name}: is a column too; choose another name")

    def of(self, name: str, *above: str) -> Feature | None:
        """The derived feature, None if an operand has no value; `above` is what it is part of."""
        if name in above:
            circle = " of ".join([*above[above.index(name) :], name])
            raise ValueError(f"derived.{name}: is made of itself: {circle}")
        if name not in self._done:
            text = self.expressions[name]
            try:
                expression = expressions.parse(text)
            except ValueError as error:
                raise ValueError(f"derived.{name}: {error}") from None
            found = [self._operand(name, used, above) for used in expression.columns]
            operands = tuple(operand for operand in found if operand is not None)
            if len(operands) < len(found):
                self._done[name] = None
                return None
            optional = any(operand.optional for operand in operands)
            self._done[name] = Feature(
                name, DERIVED, "numbers", optional, expression=text, operands=operands
            )
        return self._done[name]

    def _operand(self, name: str, used: str, above: tuple[str, ...]) -> Feature | None:
        if used in self.expressions:
            return self.of(used, *above, name)
        if used not in self._columns:
            raise ValueError(
                f"derived.{name}: there is no column {used}; the schema has "
                f"{', '.join(self._columns)}"
            )
        if used not in self._resolved:
            raise ValueError(
                f"derived.{name}: {used} is a label or the weight, which a request does not have"
            )
        if self._columns[used].lifecycle_stage == schema_pb2.DISABLED:
            return None
        # A column that is ignored by itself is what the schema says.
        operand = self._resolved[used] or _resolve_column(self._columns[used], {})
        if operand is None or operand.kind not in (*NUMBERS, BOOLEAN):
            found = operand.kind if operand else "deprecated in the schema"
            raise ValueError(
                f"derived.{name}: {used} is {found}; expected a numeric, ordinal, boolean or date "
                "column"
            )
        return operand


def notes(schema: schema_pb2.Schema, problem: Mapping[str, Any]) -> list[str]:
    """What `resolve` leaves out although the configuration does not say so, in sentences."""
    overrides = problem.get("features") or {}
    left_out = [
        f"column {column.name}: has no value in the train split, so it is left out"
        for column in schema.feature
        if column.lifecycle_stage == schema_pb2.DISABLED
        and overrides.get(column.name, {}).get("kind") != IGNORE
    ]
    made = {feature.name for feature in resolve(schema, problem)}
    return left_out + [
        f"derived.{name}: reads a column without a value in the train split, so it is left out"
        for name in sorted(problem.get("derived") or {})
        if name not in made
    ]


def columns_read(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """The columns of the raw examples that features are made of, each once, in order."""
    read: dict[str, Feature] = {}
    for feature in features:
        columns = columns_read(feature.operands) if feature.kind == DERIVED else (feature,)
        for column in columns:
            read.setdefault(column.name, column)
    return tuple(read.values())


FILE_NAME = "features.json"
"""In an export's `assets.extra/`: the columns it reads, and all columns of the raw examples."""


@dataclasses.dataclass(frozen=True)
class Input:
    """A column that an exported model reads.

    Attributes:
        name: the column.
        dtype: `text`, `whole numbers` or `numbers`.
        optional: whether it may be missing.
        sequence: whether it holds lists.
        length: of each of these lists; 0 where they differ.
    """

    name: str
    dtype: str
    optional: bool
    sequence: bool = False
    length: int = 0


def signature(
    schema: schema_pb2.Schema, features: Sequence[Feature], missing: Sequence[str] = ()
) -> str:
    """Returns the content of `FILE_NAME`.

    It has `inputs`, which are `Input`s, the names of all `columns`, and the words that stand for a
    `missing` value in the table.
    """
    inputs = [
        Input(column.name, column.dtype, column.optional, column.kind == SEQUENCE, column.length)
        for column in columns_read(features)
    ]
    content = {
        "inputs": [dataclasses.asdict(column) for column in inputs],
        "columns": [feature.name for feature in schema.feature],
        "missing": list(missing),
    }
    return json.dumps(content, indent=2)


def inputs_of_export(export: str) -> tuple[Input, ...]:
    """The columns that an exported model reads (a SavedModel's directory)."""
    content = json.loads((epath.Path(export) / "assets.extra" / FILE_NAME).read_text())
    return tuple(Input(**column) for column in content["inputs"])
