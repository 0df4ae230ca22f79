"""The pipeline's `preprocessing_fn`, which turns raw columns into packed tensors.

Each kind of feature becomes one packed tensor, because a handful of wide tensors is parsed several
times faster than dozens of narrow ones:

| output        | shape        | holds                                                           |
|---------------|--------------|-----------------------------------------------------------------|
| `scaled`      | [batch, 2 n] | standardised numbers, then their inverse hyperbolic sines       |
| `quantile`    | [batch, n]   | positions of the numbers among their column's quantiles, 0 to 1 |
| `indicator`   | [batch, m]   | booleans as 0/1, cycles of dates, 1 where a column is missing   |
| `categorical` | [batch, c]   | indices into each column's vocabulary, out-of-vocabulary last   |
| `sequence_X`  | [batch, any] | lists of column X, standardised and clipped: dense if all have  |
|               |              | the same length, otherwise a `RaggedTensor`                     |
| `weight`      | [batch]      | example weights; only in training and evaluation                |
| `label`       | [batch]      | raw label: numbers as float32, classes as text                  |
| `label_statistics` | [batch, 6] | training-split statistics, equal in all rows (regression)    |

`Layout` gives the order of the columns in each tensor. Outputs of further labels are named by
`label_name` and `statistics_name`.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import analyzers

from models.errors import UserError
from models.features import expressions, vocabularies
from models.features import features as features_lib
from models.features import text_values as values_lib
from models.features.features import Feature
from models.settings.column_settings import ColumnSettings

SCALED = "scaled"
QUANTILE = "quantile"
INDICATOR = "indicator"
CATEGORICAL = "categorical"
WEIGHT = "weight"
LABEL = "label"

QUANTILES = 48
"""Number of bins of the quantile encoding."""

CLIP = 4.0
"""Absolute value to which standardised list elements are clipped, to limit outliers."""

_NAN = np.float64(math.nan)
_INFINITY = np.float64(math.inf)

# A date becomes its day (a number like any other) and its position in the year and the week.
_DAYS_PER_YEAR = 365.2425


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names of the columns in each packed tensor, in order."""

    numeric: tuple[str, ...]
    indicator: tuple[str, ...]
    categorical: tuple[str, ...]
    sequences: tuple[str, ...] = ()

    @classmethod
    def of(cls, features: Sequence[Feature]) -> "Layout":
        """Returns the layout of the outputs of `preprocessing_fn` for these features."""

        def names(*kinds: str) -> tuple[str, ...]:
            return tuple(feature.name for feature in features if feature.kind in kinds)

        return cls(
            numeric=names(*features_lib.NUMBERS),
            indicator=tuple(
                f"{name}:{part}" if part else name for name, part in _indicators(features)
            ),
            categorical=names(features_lib.CATEGORICAL),
            sequences=names(features_lib.SEQUENCE),
        )


_DATE_PARTS = ("year_sin", "year_cos", "week_sin", "week_cos")
_MISSING = "missing"
_TRUE = ""


def _indicators(features: Sequence[Feature]) -> list[tuple[str, str]]:
    """Returns the column and the part of it behind each indicator, in order."""
    indicators: list[tuple[str, str]] = []
    for feature in features:
        if feature.kind == features_lib.DATE:
            indicators += [(feature.name, part) for part in _DATE_PARTS]
        elif feature.kind == features_lib.BOOLEAN:
            indicators.append((feature.name, _TRUE))
        # A missing category is a category of its own, and a missing list is an empty list.
        own_way = (features_lib.CATEGORICAL, features_lib.SEQUENCE)
        if feature.optional and feature.kind not in own_way:
            indicators.append((feature.name, _MISSING))
    return indicators


def label_name(index: int) -> str:
    """Returns the name of a label's output; label 0 is the configuration's `label`."""
    return f"{LABEL}_{index}" if index else LABEL


def statistics_name(index: int) -> str:
    """Returns the name of the output with a regression label's statistics."""
    return f"{label_name(index)}_statistics"


def classes_name(index: int) -> str:
    """Returns the name of the vocabulary with a classification label's classes."""
    return f"{label_name(index)}_classes"


def sequence_name(column: str) -> str:
    """Returns the name of the output of a column that holds lists."""
    return f"sequence_{column}"


def preprocessing_fn(inputs: Mapping[str, Any], custom_config: Mapping[str, str]):
    """Turns raw columns into the packed tensors listed at the top of this module.

    Args:
        inputs: raw columns by name: dense [batch, 1] if required, sparse if optional.
        custom_config: `schema` (text format) and `columns` (JSON of `ColumnSettings`).

    Returns:
        The packed tensors by name; kinds without any feature are left out.

    Raises:
        UserError: see `features.resolve`; a label or the weight is optional in the schema; or a
            regression label or the weight holds text.
    """
    schema = text_format.Parse(custom_config["schema"], schema_pb2.Schema())
    settings = ColumnSettings.from_json(custom_config["columns"])
    features = features_lib.resolve(schema, settings)

    outputs: dict[str, Any] = {
        sequence_name(feature.name): _sequence(inputs[feature.name])
        for feature in features
        if feature.kind == features_lib.SEQUENCE
    }
    numbers = _Numbers(features, inputs)
    if numeric := [feature for feature in features if feature.kind in features_lib.NUMBERS]:
        outputs[SCALED], outputs[QUANTILE] = _scale(numbers.matrix(numeric))
    if indicators := _indicators(features):
        outputs[INDICATOR] = _arranged(numbers.indicators(), indicators)
    if categorical := [f for f in features if f.kind == features_lib.CATEGORICAL]:
        outputs[CATEGORICAL] = vocabularies.apply(_texts(categorical, inputs), categorical)
    for index, label in enumerate(settings.labels):
        column = _required("label", label.name, inputs)
        outputs |= _label(index, label.name, label.task, column)
    if settings.weight:
        outputs[WEIGHT] = _weight(settings.weight, _required("weight", settings.weight, inputs))
    return outputs


def _required(role: str, name: str, inputs: Mapping[str, Any]) -> tf.Tensor:
    column = inputs[name]
    if isinstance(column, tf.SparseTensor):
        raise UserError(
            f"{role} {name}: some rows have none (the schema calls it optional); "
            "remove them from the table, or fix its shape in the schema"
        )
    return column


def _weight(name: str, column: tf.Tensor) -> tf.Tensor:
    if column.dtype == tf.string:
        raise UserError(f"weight {name}: holds text, expected numbers from zero up")
    values = tf.cast(tf.reshape(column, [-1]), tf.float32)
    # Rows of CSV and Parquet files are checked before the run; all others are checked here.
    usable = tf.debugging.assert_non_negative(
        values, message=f"weight {name}: found one below zero, or no number"
    )
    with tf.control_dependencies([usable]):
        return tf.identity(values)


@dataclasses.dataclass(frozen=True)
class _Block:
    """Columns side by side: `tensor` [batch, k] holds one column for each of the k `keys`."""

    keys: list[Any]
    tensor: tf.Tensor


def _arranged(blocks: Sequence[_Block], keys: Sequence[Any]) -> tf.Tensor:
    """Returns the columns of these keys, in this order: [batch, len(keys)]."""
    blocks = [block for block in blocks if len(block.keys)]
    positions = {key: index for index, key in enumerate(key for b in blocks for key in b.keys)}
    joined = blocks[0].tensor if len(blocks) == 1 else tf.concat([b.tensor for b in blocks], 1)
    order = [positions[key] for key in keys]
    return joined if order == list(range(len(positions))) else tf.gather(joined, order, axis=1)


class _Numbers:
    """Numeric, ordinal, boolean, date and derived features: float64, NaN where missing.

    Columns of the same form are read together, so that the graph for a thousand columns is not much
    larger than the graph for ten.
    """

    def __init__(self, features: Sequence[Feature], inputs: Mapping[str, Any]):
        """Reads the columns.

        Args:
            features: features of any kind; categories and sequences are ignored.
            inputs: raw columns by name.
        """
        columns = [
            column
            for column in features_lib.columns_read(features)
            if column.kind not in (features_lib.CATEGORICAL, features_lib.SEQUENCE)
        ]
        self._blocks = {
            kind: [
                _Block([column.name for column in alike], _read(alike, inputs))
                for alike in _alike([column for column in columns if column.kind == kind], inputs)
            ]
            for kind in dict.fromkeys(column.kind for column in columns)
        }
        self._known: dict[str, tf.Tensor] = {}
        derived = [feature for feature in features if feature.kind == features_lib.DERIVED]
        if derived:
            values = tf.stack([self._column(feature) for feature in derived], axis=1)
            self._blocks[features_lib.DERIVED] = [_Block([f.name for f in derived], values)]

    def matrix(self, features: Sequence[Feature]) -> tf.Tensor:
        """Returns these features side by side: [batch, n]."""
        return _arranged(self._all(), [feature.name for feature in features])

    def indicators(self) -> list[_Block]:
        """Returns blocks with every possible indicator: float32 [batch, k], by column and part."""
        blocks = [
            _Block([(name, _MISSING) for name in block.keys], tf.cast(_is_nan(block), tf.float32))
            for block in self._all()
        ]
        for block in self._blocks.get(features_lib.BOOLEAN, ()):
            truth = tf.cast(_or_zero(block.tensor), tf.float32)
            blocks.append(_Block([(name, _TRUE) for name in block.keys], truth))
        for block in self._blocks.get(features_lib.DATE, ()):
            for part, cycle in zip(_DATE_PARTS, _cycles(_or_zero(block.tensor))):
                wave = tf.where(_is_nan(block), 0.0, cycle)
                blocks.append(_Block([(name, part) for name in block.keys], wave))
        return blocks

    def _all(self) -> list[_Block]:
        return [block for blocks in self._blocks.values() for block in blocks]

    def _column(self, feature: Feature) -> tf.Tensor:
        """Returns one feature: [batch]."""
        if feature.name not in self._known:
            if feature.kind == features_lib.DERIVED:
                operands = {used.name: self._column(used) for used in feature.operands}
                self._known[feature.name] = _evaluated(feature.expression, operands)
            else:
                block = next(block for block in self._all() if feature.name in block.keys)
                index = block.keys.index(feature.name)
                self._known[feature.name] = block.tensor[:, index]
        return self._known[feature.name]


def _is_nan(block: _Block) -> tf.Tensor:
    return tf.math.is_nan(block.tensor)


def _or_zero(values: tf.Tensor) -> tf.Tensor:
    return tf.where(tf.math.is_nan(values), tf.zeros_like(values), values)


def _alike(columns: Sequence[Feature], inputs: Mapping[str, Any]) -> list[list[Feature]]:
    """Groups columns that can be read together."""
    groups: dict[Any, list[Feature]] = {}
    for column in columns:
        tensor = inputs[column.name]
        form = (tensor.dtype, isinstance(tensor, tf.SparseTensor), column.true_value, column.order)
        groups.setdefault(form, []).append(column)
    return list(groups.values())


def _read(columns: Sequence[Feature], inputs: Mapping[str, Any]) -> tf.Tensor:
    """Reads columns of one form (no categories or lists): float64 [batch, k], NaN if missing."""
    values, missing = _dense([inputs[column.name] for column in columns])
    first = columns[0]
    if first.kind == features_lib.BOOLEAN:
        values, missing = _truth(values, missing, first.true_value)
    elif first.kind == features_lib.DATE:
        values, missing = _days(values, missing)
    elif first.kind == features_lib.ORDINAL:
        values, missing = _place(first.order, values, missing)
    return tf.where(missing, _NAN, tf.cast(values, tf.float64))


def _place(order: Sequence[Any], values, missing) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns each value's index in the order; values that are not in it count as missing."""
    matches = tf.equal(values[:, :, tf.newaxis], tf.constant(order, values.dtype))
    missing = tf.logical_or(missing, tf.logical_not(tf.reduce_any(matches, axis=2)))
    return tf.argmax(tf.cast(matches, tf.int32), axis=2), missing


def _evaluated(expression: str, operands: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """Evaluates an expression: float64 [batch], NaN where an operand or any step is undefined."""
    some = next(iter(operands.values()))
    return expressions.parse(expression).evaluate(
        operands.__getitem__, lambda value: tf.fill(tf.shape(some), np.float64(value)), _step
    )


_STEPS: dict[str, Callable] = {
    "+": tf.add,
    "-": tf.subtract,
    "*": tf.multiply,
    "/": tf.divide,
    "**": tf.pow,
    "negative": tf.negative,
    "log1p": tf.math.log1p,
    "sqrt": tf.sqrt,
    "abs": tf.abs,
    "min": lambda *values: functools.reduce(tf.minimum, values),
    "max": lambda *values: functools.reduce(tf.maximum, values),
}


def _step(name: str, arguments: list[tf.Tensor]) -> tf.Tensor:
    # In IEEE arithmetic 1 ** NaN = 1 and 1 / (1 / 0) = 0, but missing values must stay missing.
    present = functools.reduce(
        tf.logical_and, [tf.logical_not(tf.math.is_nan(value)) for value in arguments]
    )
    result = _STEPS[name](*arguments)
    present = tf.logical_and(present, tf.math.is_finite(result))
    return tf.where(present, result, _NAN * tf.ones_like(result))


def _sequence(column) -> tf.Tensor | tf.RaggedTensor:
    """Standardises lists over all their elements; a missing element becomes 0, the mean.

    Shape: dense [batch, n] → float32 [batch, n]; sparse or ragged → ragged float32 [batch, any].
    """
    if isinstance(column, tf.SparseTensor):
        column = tf.RaggedTensor.from_value_rowids(
            column.values, column.indices[:, 0], column.dense_shape[0], validate=False
        )
    if isinstance(column, tf.RaggedTensor):
        return column.with_values(_standardised(column.values))
    return tf.reshape(_standardised(tf.reshape(column, [-1])), tf.shape(column))


def _standardised(values: tf.Tensor) -> tf.Tensor:
    """Standardises and clips values: [n] → float32 [n]; values that are not finite become 0."""
    values = tf.cast(values, tf.float64)
    finite = tf.math.is_finite(values)
    # The moments ignore NaN; without any element the mean is NaN, so it is replaced by 0.
    values = tf.where(finite, values, _NAN * tf.ones_like(values))
    mean, deviation = _or_zero(tft.mean(values)), tf.sqrt(tft.var(values))
    standardised = (values - mean) / tf.where(deviation > 0, deviation, 1.0)
    clipped = tf.cast(tf.clip_by_value(standardised, -CLIP, CLIP), tf.float32)
    return tf.where(finite, clipped, tf.zeros_like(clipped))


def _dense(columns: Sequence[Any]) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns values and missing flags, both [batch, k].

    Args:
        columns: columns of one dtype; all dense [batch, 1], or all sparse.
    """
    if isinstance(columns[0], tf.SparseTensor):
        shapes = tf.stack([column.dense_shape for column in columns])
        single = tf.debugging.assert_less_equal(
            tf.reduce_max(shapes[:, 1]),
            np.int64(1),
            message="a column holds several values in a row",
        )
        with tf.control_dependencies([single]):
            # A sparse column without a value in this batch has width 0.
            shape = tf.stack([shapes[0, 0], 1])
        joined = tf.sparse.concat(
            1, [tf.SparseTensor(column.indices, column.values, shape) for column in columns]
        )
        present = tf.SparseTensor(
            joined.indices, tf.ones_like(joined.values, tf.int64), joined.dense_shape
        )
        missing = tf.equal(tf.sparse.to_dense(present), 0)
        values = tf.sparse.to_dense(joined)
    else:
        values = columns[0] if len(columns) == 1 else tf.concat(columns, axis=1)
        missing = tf.zeros_like(values, tf.bool)
    values, missing = (tf.reshape(part, [-1, len(columns)]) for part in (values, missing))
    if values.dtype == tf.float32:
        missing = tf.logical_or(missing, tf.logical_not(tf.math.is_finite(values)))
    elif values.dtype == tf.string:
        missing = tf.logical_or(missing, tf.equal(values, ""))
    return values, missing


def _scale(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns standardised values [batch, 2 n] and quantile positions [batch, n].

    Missing numbers become 0 and position 0.5. Values are clipped to the range of the train split,
    so that an outlier in a request does not explode the network. Each is returned twice: as it is,
    where a few extreme values of a skewed column dwarf all others, and as its inverse hyperbolic
    sine, which is linear in the middle and logarithmic in the tails.

    The position rises linearly by 1 / `QUANTILES` in each bin between neighbouring quantiles, so
    that the network can rebuild the piecewise-linear encoding of Gorishniy et al., "On Embeddings
    for Numerical Features in Tabular Deep Learning" (2022), section 3.2, from this one number: see
    `networks.PiecewiseLinear`. Where quantiles coincide, the position jumps.

    Args:
        numbers: float64 [batch, n], NaN where missing. All columns are analyzed at once: one
            analyzer over n columns costs a fraction of n analyzers.
    """
    missing = tf.math.is_nan(numbers)
    # In double precision the moments do not depend on how Beam forms its batches. Moments and
    # quantiles ignore NaN; the extremes would not.
    # (Reshaped because tft returns a scalar for a single column.)
    columns = [numbers.shape[1]]
    mean = tf.reshape(tft.mean(numbers, reduce_instance_dims=False), columns)
    deviation = tf.sqrt(tf.reshape(tft.var(numbers, reduce_instance_dims=False), columns))
    low = -tft.max(tf.where(missing, -_INFINITY, -numbers), reduce_instance_dims=False)
    high = tft.max(tf.where(missing, -_INFINITY, numbers), reduce_instance_dims=False)
    # A column without any value in the train split has low = +inf and high = -inf.
    never_seen = low > high
    missing = tf.logical_or(missing, never_seen)
    low, high = (tf.where(never_seen, tf.zeros_like(edge), edge) for edge in (low, high))
    filled = tf.where(missing, tf.zeros_like(numbers) + _or_zero(mean), numbers)
    bounded = tf.minimum(tf.maximum(filled, low), high)
    standardised = (bounded - mean) / tf.where(deviation > 0, deviation, 1.0)
    standardised = tf.where(missing, tf.zeros_like(standardised), standardised)
    scaled = tf.concat([standardised, tf.asinh(standardised)], axis=1)
    position = _position(filled, low, _inner_quantiles(numbers), high)
    return tf.cast(scaled, tf.float32), tf.where(missing, 0.5, tf.cast(position, tf.float32))


def _position(values: tf.Tensor, low: tf.Tensor, inner: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
    """Returns each value's position among the quantiles of its column: [batch, n], 0 to 1.

    Args:
        values: float64 [batch, n].
        low: minimum of each column [n].
        inner: quantiles of each column without its extremes [n, QUANTILES - 1].
        high: maximum of each column [n].
    """
    low, high = low[:, tf.newaxis], high[:, tf.newaxis]
    # In single precision a quantile may lie beyond the extremes.
    inner = tf.minimum(tf.maximum(tf.cast(inner, tf.float64), low), high)
    edges = tf.concat([low, inner, high], axis=1)
    values = tf.transpose(values)
    bins = tf.clip_by_value(tf.searchsorted(edges, values) - 1, 0, QUANTILES - 1)
    start, end = (tf.gather(edges, bins + step, batch_dims=1) for step in (0, 1))
    width, passed = end - start, values - start
    within = tf.where(
        width > 0,
        tf.clip_by_value(passed / tf.where(width > 0, width, 1.0), 0.0, 1.0),
        tf.cast(passed > 0, tf.float64),
    )
    return tf.transpose((tf.cast(bins, tf.float64) + within) / QUANTILES)


def _inner_quantiles(numbers: tf.Tensor) -> tf.Tensor:
    """Returns `tft.quantiles`, or zeros for an empty column: float32 [n, QUANTILES - 1]."""
    columns = numbers.shape[1]
    (inner,) = analyzers._apply_cacheable_combiner(_Quantiles(columns), numbers)
    return inner


class _Quantiles(analyzers.QuantilesCombiner):
    """Combiner of `tft.quantiles`, which by itself drops columns without a value and then fails.

    An accumulator holds a sketch of all columns and a mask of those with a value.
    """

    def __init__(self, columns: int):
        super().__init__(QUANTILES, 0.1 / QUANTILES, np.float32, feature_shape=[columns])
        self._columns = columns

    def create_accumulator(self):
        return super().create_accumulator(), np.zeros(self._columns, bool)

    def add_input(self, accumulator, next_input):
        sketch, known = accumulator
        return super().add_input(sketch, next_input), known | ~np.isnan(next_input[0]).all(axis=0)

    def merge_accumulators(self, accumulators):
        sketches, known = zip(*accumulators)
        return super().merge_accumulators(sketches), np.logical_or.reduce(known)

    def compact(self, accumulator):
        sketch, known = accumulator
        return super().compact(sketch), known

    def extract_output(self, accumulator):
        sketch, known = accumulator
        quantiles = np.zeros([self._columns, QUANTILES - 1], np.float32)
        if known.any():
            boundaries = np.array(sketch.GetQuantiles(QUANTILES).to_pylist(), np.float32)
            quantiles[known] = boundaries[:, 1:-1]
        return [quantiles]


SCALED_PER_NUMBER = 2
"""Number of values in `scaled` for each number."""


def _texts(columns: Sequence[Feature], inputs: Mapping[str, Any]) -> tf.Tensor:
    """Returns categorical columns as text [batch, c]; missing values become `MISSING_TOKEN`."""
    blocks = []
    for alike in _alike(columns, inputs):
        values, missing = _dense([inputs[column.name] for column in alike])
        if values.dtype != tf.string:
            values = tf.strings.as_string(values)
        names = [column.name for column in alike]
        blocks.append(_Block(names, tf.where(missing, MISSING_TOKEN, values)))
    return _arranged(blocks, [column.name for column in columns])


MISSING_TOKEN = "(missing)"


def _truth(values, missing, true_value: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns 1 where true, else 0, and the missing flags.

    Without a `true_value`, text that is neither true nor false counts as missing.
    """
    if true_value:
        return tf.cast(tf.equal(values, true_value), tf.float32), missing
    if values.dtype != tf.string:
        return tf.cast(tf.not_equal(values, tf.zeros_like(values)), tf.float32), missing
    true = tf.strings.regex_full_match(values, values_lib.TRUE)
    false = tf.strings.regex_full_match(values, values_lib.FALSE)
    missing = tf.logical_or(missing, tf.logical_not(tf.logical_or(true, false)))
    return tf.cast(true, tf.float32), missing


def _days(dates, missing) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns days since 0000-03-01 and missing flags; values that are not dates are missing.

    For the arithmetic see H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    """
    text = dates if dates.dtype == tf.string else tf.strings.as_string(dates)
    readable = tf.strings.regex_full_match(text, values_lib.DATE)
    missing = tf.logical_or(missing, tf.logical_not(readable))
    text = tf.where(missing, "2000-01-01", text)
    year, month, day = (
        tf.strings.to_number(tf.strings.regex_replace(text, f"^{values_lib.DATE}$", part), tf.int32)
        for part in (values_lib.DATE_YEAR, values_lib.DATE_MONTH, values_lib.DATE_DAY)
    )
    year = year - tf.cast(month <= 2, tf.int32)
    months_since_march = tf.math.floormod(month + 9, 12)
    day_of_year = (153 * months_since_march + 2) // 5 + day - 1
    days = 365 * year + year // 4 - year // 100 + year // 400 + day_of_year
    return days, missing


def _cycles(days) -> list[tf.Tensor]:
    """Returns sine and cosine of the position in the year and in the week (`_DATE_PARTS`).

    Args:
        days: float64 [batch, k]; in single precision, vectorised sines differ in the last bit from
            those of the batch's remainder.
    """
    angles = [
        2 * math.pi * tf.math.floormod(days, period) / period for period in (_DAYS_PER_YEAR, 7.0)
    ]
    return [tf.cast(wave(angle), tf.float32) for angle in angles for wave in (tf.sin, tf.cos)]


def _label(index: int, name: str, task: str, column: tf.Tensor) -> dict[str, tf.Tensor]:
    values, _ = _dense([column])
    values = tf.reshape(values, [-1])
    if task == "regression":
        if values.dtype == tf.string:
            raise UserError(
                f"label {name}: holds text, expected numbers; choose another label, or task: "
                "multiclass"
            )
        doubles = tf.cast(values, tf.float64)
        logs = tf.math.log1p(tf.maximum(doubles, 0.0))
        median = tf.reshape(tft.quantiles(doubles, 2, epsilon=0.001), [-1])[0]
        moments = [tft.mean(doubles), tf.sqrt(tft.var(doubles))]
        moments += [tft.mean(logs), tf.sqrt(tft.var(logs))]
        low = -tft.max(-doubles)
        statistics = [tf.cast(value, tf.float32) for value in (*moments, median, low)]
        values = tf.cast(values, tf.float32)
        rows = tf.ones_like(values)[:, tf.newaxis] * tf.stack(statistics)[tf.newaxis, :]
        return {label_name(index): values, statistics_name(index): rows}
    values = _class_text(values)
    tft.vocabulary(_one_line(values), store_frequency=True, vocab_filename=classes_name(index))
    return {label_name(index): values}


def _class_text(values: tf.Tensor) -> tf.Tensor:
    """Returns the class of each label; floats are named as in `values.class_of_number`."""
    if values.dtype == tf.string:
        return values
    if values.dtype.is_integer:
        return tf.strings.as_string(values)
    whole = tf.equal(values, tf.floor(values))
    whole = tf.logical_and(whole, tf.abs(values) < values_lib.WHOLE_CLASSES_BELOW)
    in_full = tf.where(whole, values, tf.zeros_like(values))
    in_full = tf.strings.as_string(tf.cast(in_full, tf.int64)) + ".0"
    return tf.where(whole, in_full, tf.strings.as_string(values, shortest=True))


def _one_line(texts: tf.Tensor) -> tf.Tensor:
    """Escapes line ends, which a vocabulary cannot hold; `label.from_transform` restores them."""
    for character, escape in ((r"\\", r"\\\\"), ("\n", r"\\n"), ("\r", r"\\r")):
        texts = tf.strings.regex_replace(texts, character, escape)
    return texts
