"""Features of a problem, resolved from the schema and the configuration's overrides.

The schema gives types, domains and which values may be missing. An override says what the type
alone cannot: a zip code is a category, a text column holds dates. `resolve` merges the two.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from tensorflow_metadata.proto.v0 import schema_pb2

from models.errors import UserError
from models.features import expressions, text_values
from models.settings.column_settings import ColumnSettings, FeatureSettings

NUMERIC = "numeric"
ORDINAL = "ordinal"
CATEGORICAL = "categorical"
BOOLEAN = "boolean"
DATE = "date"
SEQUENCE = "sequence"
DERIVED = "derived"
IGNORE = "ignore"

NUMBERS = (NUMERIC, ORDINAL, DATE, DERIVED)
"""Kinds that a model receives as numbers."""

DTYPES = {schema_pb2.BYTES: "text", schema_pb2.INT: "whole numbers", schema_pb2.FLOAT: "numbers"}


@dataclasses.dataclass(frozen=True)
class Feature:
    """Feature made from a column of the raw examples, or derived from several.

    Attributes:
        name: the column, or the name of a derived feature.
        kind: numeric, ordinal, categorical, boolean, date, sequence or derived.
        dtype: type in the raw examples: `text`, `whole numbers` or `numbers`.
        optional: whether it may be missing. The model then also receives an indicator, except for
            categories, where missing is a value of its own, and sequences, which are then empty.
        vocabulary: maximum size of a category's vocabulary.
        min_count: number of occurrences below which a value is left out of the vocabulary.
        oov_buckets: number of indices for values that are not in the vocabulary.
        true_value: text that means true, for a boolean whose schema defines words that
            `text_values.TRUE` and `text_values.FALSE` do not match.
        order: values of an ordinal column, in ascending order.
        length: length of every list of a sequence; 0 if lengths differ.
        expression: arithmetic expression of a derived feature.
        operands: features that the expression reads: columns or other derived features.
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
"""Lifecycle stages of columns that are not features; DISABLED: no value in the train split."""


def resolve(schema: schema_pb2.Schema, settings: ColumnSettings) -> tuple[Feature, ...]:
    """Merges the schema with the configuration's overrides.

    Args:
        schema: the curated or inferred schema of the raw examples.
        settings: the settings of the columns. Labels and the weight are never features.

    Returns:
        The features in the schema's order, then the derived ones sorted by name, since TFX does not
        preserve the order of a mapping. Columns without a value in the train split are left out,
        as are features derived from them; see `notes`.

    Raises:
        UserError: a label, the weight or an override names a column that is not in the schema; the
            label or weight has no value; a column cannot be of its kind; an expression is invalid;
            or no feature is left.
    """
    columns = {feature.name: feature for feature in schema.feature}
    targets = [*settings.label_names, *([settings.weight] if settings.weight else [])]
    for name in [*targets, *settings.features]:
        if name not in columns:
            raise UserError(f"column {name}: not in the schema, which has {', '.join(columns)}")
    for name in targets:
        if columns[name].lifecycle_stage == schema_pb2.DISABLED:
            raise UserError(f"column {name}: has no value in the train split")
    resolved = {
        name: _resolve_column(column, settings.features.get(name, FeatureSettings()))
        for name, column in columns.items()
        if name not in targets
    }
    features = [feature for feature in resolved.values() if feature is not None]
    derivation = _Derivation(columns, resolved, settings.derived)
    derived = [derivation.of(name) for name in sorted(derivation.expressions)]
    features += [feature for feature in derived if feature is not None]
    if not features:
        raise UserError("no column is left to learn from: every column is the label or ignored")
    return tuple(features)


def _resolve_column(column: schema_pb2.Feature, settings: FeatureSettings) -> Feature | None:
    kind = settings.kind or _kind(column)
    if kind == IGNORE or column.lifecycle_stage in _LEFT_OUT:
        return None
    if column.type not in DTYPES:
        raise UserError(
            f"column {column.name}: has no type in the schema; set features."
            f"{column.name}: ignore or curate the schema"
        )
    dtype = DTYPES[column.type]
    _check_kind(column, kind, dtype)
    words = column.bool_domain.true_value, column.bool_domain.false_value
    has_own_words = kind == BOOLEAN and words[0] and not text_values.is_plain_truth(*words)
    return Feature(
        column.name,
        kind,
        dtype,
        # A column without a fixed shape is parsed as sparse: an example may lack it.
        optional=not column.HasField("shape"),
        vocabulary=settings.vocabulary,
        min_count=settings.min_count,
        oov_buckets=settings.oov_buckets,
        true_value=words[0] if has_own_words else "",
        order=_order(column, dtype, settings.order) if kind == ORDINAL else (),
        length=column.shape.dim[0].size if kind == SEQUENCE and column.shape.dim else 0,
    )


def _check_kind(column: schema_pb2.Feature, kind: str, dtype: str) -> None:
    name = column.name
    if column.HasField("value_counts") or len(column.shape.dim) > 1:
        raise UserError(
            f"column {name}: holds lists of lists; expected one value or one list per example; "
            f"set features.{name}: ignore"
        )
    if kind == SEQUENCE and dtype == "text":
        raise UserError(
            f"column {name}: holds lists of text; only lists of numbers can be a sequence; set "
            f"features.{name}: ignore"
        )
    if kind != SEQUENCE and holds_lists(column):
        raise UserError(
            f"column {name}: holds lists, so it cannot be {kind}; set features.{name}: sequence or "
            "ignore"
        )
    if (kind == NUMERIC and dtype == "text") or (kind == DATE and dtype == "numbers"):
        expected = "numbers" if kind == NUMERIC else "dates such as 2014-10-13 or 20141013"
        raise UserError(f"column {name}: cannot be {kind}: it holds {dtype}, not {expected}")
    if kind in (CATEGORICAL, ORDINAL) and dtype == "numbers":
        raise UserError(
            f"column {name}: cannot be {kind}: it holds fractional numbers; "
            "make it numeric, or write it as text in the table"
        )


def holds_lists(column: schema_pb2.Feature) -> bool:
    """Returns whether the schema declares lists; without `shape` and `value_count` it does not."""
    if column.shape.dim:
        return any(dim.size != 1 for dim in column.shape.dim)
    # Without a maximum, a list may have any length.
    return column.HasField("value_count") and column.value_count.max != 1


def _order(column: schema_pb2.Feature, dtype: str, order: Sequence) -> tuple:
    value_type = str if dtype == "text" else int
    strange = next((value for value in order if not isinstance(value, value_type)), None)
    if strange is not None:
        quoted = "in quotes" if dtype == "text" else "without quotes"
        raise UserError(
            f"column {column.name}: holds {dtype}, but its order lists {strange!r}; write the "
            f"values {quoted}"
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
    """Resolver of derived features, which may read each other in any order but not in a cycle."""

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
                raise UserError(f"derived.{name}: a column has this name; choose another")

    def of(self, name: str, *above: str) -> Feature | None:
        """Returns the derived feature, or None if an operand has no value in the train split.

        `above` names the derived features that read it, from the outermost to the innermost.
        """
        if name in above:
            circle = " -> ".join([*above[above.index(name) :], name])
            raise UserError(f"derived.{name}: depends on itself: {circle}")
        if name not in self._done:
            text = self.expressions[name]
            try:
                expression = expressions.parse(text)
            except UserError as error:
                raise UserError(f"derived.{name}: {error}") from None
            resolved = [self._operand(name, used, above) for used in expression.columns]
            operands = tuple(operand for operand in resolved if operand is not None)
            if len(operands) < len(resolved):
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
            raise UserError(
                f"derived.{name}: column {used} is not in the schema, which has "
                f"{', '.join(self._columns)}"
            )
        if used not in self._resolved:
            raise UserError(
                f"derived.{name}: {used} is a label or the weight, which requests do not contain"
            )
        if self._columns[used].lifecycle_stage == schema_pb2.DISABLED:
            return None
        # If the configuration ignores a column, an expression reads it as the schema declares it.
        operand = self._resolved[used] or _resolve_column(self._columns[used], FeatureSettings())
        if operand is None or operand.kind not in (*NUMBERS, BOOLEAN):
            actual = operand.kind if operand else "deprecated in the schema"
            raise UserError(
                f"derived.{name}: {used} is {actual}; expected a numeric, ordinal, boolean or date "
                "column"
            )
        return operand


def notes(schema: schema_pb2.Schema, settings: ColumnSettings) -> list[str]:
    """Returns a sentence for each feature that `resolve` leaves out of its own accord."""
    ignored = {name for name, feature in settings.features.items() if feature.kind == IGNORE}
    left_out = [
        f"column {column.name}: has no value in the train split, so it is left out"
        for column in schema.feature
        if column.lifecycle_stage == schema_pb2.DISABLED and column.name not in ignored
    ]
    resolved = {feature.name for feature in resolve(schema, settings)}
    return left_out + [
        f"derived.{name}: reads a column without a value in the train split, so it is left out"
        for name in sorted(settings.derived)
        if name not in resolved
    ]


def columns_read(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """Returns the columns of the raw examples that the features read, each once, in order."""
    read: dict[str, Feature] = {}
    for feature in features:
        columns = columns_read(feature.operands) if feature.kind == DERIVED else (feature,)
        for column in columns:
            read.setdefault(column.name, column)
    return tuple(read.values())
