"""Reference models for the pipeline's examples: a constant, a linear model and boosted trees.

Each reference is fitted on **train**; for the tuned ones, **eval** selects the number of trees and
one of a few settings; **test** is scored once, in the label's own units. References get the same
information as our models: the configuration's ordinal codes as numbers, its derived features, and
the log of the label where our models learn that.
"""

import dataclasses
import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import catboost
import lightgbm
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform.tf_metadata import schema_utils

from models.features import expressions
from models.features import features as features_lib
from models.features.features import Feature
from models.features.label import Label

SPLITS = ("train", "eval", "test")

# The tuned references select one of these by the loss on eval.
LIGHTGBM_SETTINGS = (
    dict(num_leaves=7, min_child_samples=10, colsample_bytree=0.4),
    dict(num_leaves=15, min_child_samples=10, colsample_bytree=0.4),
    dict(num_leaves=15, min_child_samples=20, colsample_bytree=0.7),
    dict(num_leaves=31, min_child_samples=10, colsample_bytree=0.4),
    dict(num_leaves=31, min_child_samples=20, colsample_bytree=0.7),
    dict(num_leaves=63, min_child_samples=20, colsample_bytree=0.4),
)
CATBOOST_SETTINGS = (
    dict(depth=4, l2_leaf_reg=2.0),
    dict(depth=4, l2_leaf_reg=8.0),
    dict(depth=6, l2_leaf_reg=2.0),
    dict(depth=6, l2_leaf_reg=8.0),
    dict(depth=8, l2_leaf_reg=2.0),
    dict(depth=8, l2_leaf_reg=8.0),
)
_INVERSE_PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
_PATIENCE = 100
"""Number of trees without progress on eval after which the tuned references stop."""


class Result(NamedTuple):
    """The result of a reference on test.

    Attributes:
        scores: scores by metric; lower is better in each.
        train_seconds: duration of the fit; of the selected one, if several were tried.
        note: the selected settings.
    """

    scores: dict[str, float]
    train_seconds: float
    note: str


@dataclasses.dataclass(frozen=True)
class Problem:
    """The examples of the three splits, in the form that references take.

    Attributes:
        label: the label and its statistics in train.
        features: features by split: numbers, with NaN where missing, and pandas categories.
        labels: labels by split: numbers, or 0 and 1.
    """

    label: Label
    features: Mapping[str, pd.DataFrame]
    labels: Mapping[str, np.ndarray]

    @property
    def categories(self) -> list[str]:
        """The names of the categorical columns."""
        return list(self.features["train"].select_dtypes("category"))

    @property
    def targets(self) -> dict[str, np.ndarray]:
        """The labels by split, on the scale on which they are learned."""
        return {k: np.log1p(v) if self.label.log else v for k, v in self.labels.items()}


# --- reading -------------------------------------------------------------------------------------


def read(
    files: Mapping[str, Sequence[str]],
    schema: schema_pb2.Schema,
    features: Sequence[Feature],
    label: Label,
) -> Problem:
    """Reads the raw examples of the three splits.

    Args:
        files: gzipped TFRecords of raw examples, by split.
        schema: schema of the raw examples.
        features: features, resolved from the configuration and the schema.
        label: the label, with its statistics in train.
    """
    spec = schema_utils.schema_as_feature_spec(schema).feature_spec
    used = [column.name for column in features_lib.columns_read(features)]
    raw = {
        split: _parse(files[split], {n: spec[n] for n in (*used, label.name)}) for split in SPLITS
    }
    tables = {split: _table(features, raw[split]) for split in SPLITS}
    for name in tables["train"].select_dtypes("object"):
        # Categories unseen in train become missing.
        kind = pd.CategoricalDtype(sorted(tables["train"][name].dropna().unique()))
        for table in tables.values():
            table[name] = table[name].astype(kind)
    return Problem(label, tables, {split: _labels(label, raw[split]) for split in SPLITS})


def _parse(files: Sequence[str], spec: Mapping[str, Any]) -> pd.DataFrame:
    records = list(tf.data.TFRecordDataset(list(files), "GZIP").as_numpy_iterator())
    columns = {}
    for name, column in tf.io.parse_example(records, spec).items():
        values = np.full(len(records), None, object)
        if isinstance(column, tf.SparseTensor):
            values[column.indices.numpy()[:, 0]] = column.values.numpy()
        else:
            values[:] = column.numpy().reshape(-1)
        columns[name] = values
    return pd.DataFrame(columns)


def _labels(label: Label, raw: pd.DataFrame) -> np.ndarray:
    if label.task == "regression":
        return raw[label.name].to_numpy(np.float64)
    if label.task != "binary":
        raise ValueError(f"references know regression and binary labels, not {label.task}")
    return (raw[label.name].map(_text) == label.classes[1]).to_numpy(np.float64)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _table(features: Sequence[Feature], raw: pd.DataFrame) -> pd.DataFrame:
    columns = {}
    for feature in features:
        if feature.kind == features_lib.CATEGORICAL:
            columns[feature.name] = raw[feature.name].map(_text, na_action="ignore")
            continue
        columns[feature.name] = values = _number(feature, raw)
        if feature.kind == features_lib.DATE:
            # Day 0 is a Thursday.
            columns[f"{feature.name}_of_year"] = values % 365.2425
            columns[f"{feature.name}_of_week"] = (values + 3) % 7
    return pd.DataFrame(columns)


def _number(feature: Feature, raw: pd.DataFrame) -> pd.Series:
    """Returns the values of a numeric feature, NaN where missing; dates as days since 1970."""
    if feature.kind == features_lib.DERIVED:
        operands = {operand.name: _number(operand, raw) for operand in feature.operands}
        evaluate = expressions.parse(feature.expression).evaluate
        return evaluate(
            operands.__getitem__, lambda value: pd.Series(value, raw.index, dtype=float), _step
        )
    column = raw[feature.name]
    if feature.kind == features_lib.ORDINAL:
        ranks = {value: rank for rank, value in enumerate(feature.order)}
        if feature.dtype == "text":
            column = column.map(_text, na_action="ignore")
        column = column.map(ranks)
    elif feature.kind == features_lib.BOOLEAN and feature.dtype == "text":
        true = {feature.true_value} if feature.true_value else {"true", "t", "yes", "y", "1"}
        text = column.map(_text, na_action="ignore")
        text = text if feature.true_value else text.str.lower()
        column = text.isin(true).where(text.notna())
    elif feature.kind == features_lib.DATE:
        text = column.map(_text, na_action="ignore").str.replace(r"[-/]", "", regex=True).str[:8]
        days = pd.to_datetime(text, format="%Y%m%d", errors="coerce")
        column = (days - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
    elif feature.kind not in (features_lib.NUMERIC, features_lib.BOOLEAN):
        raise ValueError(f"column {feature.name}: references know no {feature.kind}")
    column = column.astype(float)
    return column.where(np.isfinite(column))


_STEPS: dict[str, Callable] = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "**": np.power,
    "negative": np.negative,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "min": lambda *values: functools.reduce(np.minimum, values),
    "max": lambda *values: functools.reduce(np.maximum, values),
}


def _step(name: str, arguments: list[pd.Series]) -> pd.Series:
    """Evaluates a step of an expression; missing operands and non-finite results give NaN."""
    with np.errstate(all="ignore"):
        result = _STEPS[name](*arguments)
    is_defined = np.isfinite(result) & np.logical_and.reduce([a.notna() for a in arguments])
    return result.where(is_defined)


# --- scoring -------------------------------------------------------------------------------------


def score(task: str, labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """Computes the metrics of a task; lower is better in each.

    Args:
        task: regression or binary.
        labels: numbers, or 0 and 1.
        predictions: values in the label's units, or probabilities of 1.
    """
    if task == "binary":
        return {
            "1-auc": 1 - float(roc_auc_score(labels, predictions)),
            "1-accuracy": float(np.mean((predictions > 0.5) != labels)),
            "log_loss": float(log_loss(labels, predictions)),
        }
    logs = np.log1p(np.maximum(predictions, 0)) - np.log1p(np.maximum(labels, 0))
    return {
        "rmse": float(np.sqrt(np.mean((predictions - labels) ** 2))),
        "rmsle": float(np.sqrt(np.mean(logs**2))),
        "mae": float(np.mean(np.abs(predictions - labels))),
    }


# --- references ----------------------------------------------------------------------------------

_Predict = Callable[[pd.DataFrame], np.ndarray]
"""Function that predicts rows, on the scale of the target or as probabilities of 1."""


def constant(problem: Problem, seed: int, threads: int) -> Result:
    """Scores the constant that is best for each metric, as in the gates."""
    labels = problem.labels["test"]
    if problem.label.task == "binary":
        share = problem.labels["train"].mean()
        return Result(score("binary", labels, np.full_like(labels, share)), 0.0, "")
    train = problem.labels["train"]
    best = {
        "rmse": train.mean(),
        "rmsle": np.expm1(np.log1p(np.maximum(train, 0)).mean()),
        "mae": np.median(train),
    }
    scores = {
        metric: score("regression", labels, np.full_like(labels, value))[metric]
        for metric, value in best.items()
    }
    return Result(scores, 0.0, "")


def linear(problem: Problem, seed: int, threads: int) -> Result:
    """Fits ridge or logistic regression to standardised numbers and one-hot categories."""
    numeric = [name for name in problem.features["train"] if name not in problem.categories]
    impute = SimpleImputer(strategy="median", add_indicator=True)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (make_pipeline(impute, StandardScaler()), numeric), (one_hot, problem.categories)
    )
    train, target = problem.features["train"], problem.targets["train"]
    if problem.label.task == "regression":
        # RidgeCV selects the penalty by leave-one-out cross-validation on train.
        model = make_pipeline(columns, RidgeCV(alphas=np.logspace(-2, 4, 25)))
        began = time.perf_counter()
        model.fit(train, target)
        seconds = time.perf_counter() - began
        return _result(problem, model.predict, seconds, f"alpha {model[-1].alpha_:.3g}")

    def fit(c: float):
        return make_pipeline(columns, LogisticRegression(C=c, max_iter=2000)).fit(train, target)

    def loss(model) -> float:
        predictions = model.predict_proba(problem.features["eval"])[:, 1]
        return log_loss(problem.targets["eval"], predictions)

    model, seconds, chosen = _best(fit, loss, _INVERSE_PENALTIES)
    return _result(problem, lambda rows: model.predict_proba(rows)[:, 1], seconds, f"C {chosen}")


def lightgbm_default(problem: Problem, seed: int, threads: int) -> Result:
    """Fits LightGBM with its default settings."""
    began = time.perf_counter()
    model = _lightgbm(problem, seed, threads)
    model.fit(problem.features["train"], problem.targets["train"])
    return _result(problem, _predictor(problem, model), time.perf_counter() - began, "")


def lightgbm_tuned(problem: Problem, seed: int, threads: int) -> Result:
    """Fits LightGBM with the best of a few settings and early stopping on eval."""

    def fit(settings: dict[str, Any]):
        model = _lightgbm(
            problem,
            seed,
            threads,
            n_estimators=5000,
            learning_rate=0.03,
            subsample=0.8,
            subsample_freq=1,
            reg_lambda=1.0,
            **settings,
        )
        return model.fit(
            problem.features["train"],
            problem.targets["train"],
            eval_X=problem.features["eval"],
            eval_y=problem.targets["eval"],
            callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
        )

    def loss(model) -> float:
        (value,) = model.best_score_["valid_0"].values()
        return value

    model, seconds, chosen = _best(fit, loss, LIGHTGBM_SETTINGS)
    note = f"{model.best_iteration_} trees, {_shown(chosen)}"
    return _result(problem, _predictor(problem, model), seconds, note)


def _lightgbm(problem: Problem, seed: int, threads: int, **settings: Any):
    kind = lightgbm.LGBMRegressor
    if problem.label.task == "binary":
        kind = lightgbm.LGBMClassifier
    return kind(random_state=seed, n_jobs=threads, verbose=-1, **settings)


def catboost_default(problem: Problem, seed: int, threads: int) -> Result:
    """Fits CatBoost with its default settings: a thousand trees."""
    began = time.perf_counter()
    model = _catboost(problem, seed, threads)
    model.fit(_pool(problem, "train"))
    return _result(problem, _catboost_predictor(problem, model), time.perf_counter() - began, "")


def catboost_tuned(problem: Problem, seed: int, threads: int) -> Result:
    """Fits CatBoost with the best of a few settings and early stopping on eval."""

    def fit(settings: dict[str, Any]):
        model = _catboost(
            problem,
            seed,
            threads,
            iterations=4000,
            learning_rate=0.05,
            od_wait=_PATIENCE,
            **settings,
        )
        return model.fit(_pool(problem, "train"), eval_set=_pool(problem, "eval"))

    def loss(model) -> float:
        (value,) = model.get_best_score()["validation"].values()
        return value

    model, seconds, chosen = _best(fit, loss, CATBOOST_SETTINGS)
    note = f"{model.get_best_iteration() + 1} trees, {_shown(chosen)}"
    return _result(problem, _catboost_predictor(problem, model), seconds, note)


def _catboost(problem: Problem, seed: int, threads: int, **settings: Any):
    kind = catboost.CatBoostRegressor
    if problem.label.task == "binary":
        kind = catboost.CatBoostClassifier
    return kind(
        random_seed=seed, thread_count=threads, verbose=False, allow_writing_files=False, **settings
    )


def _pool(problem: Problem, split: str) -> catboost.Pool:
    """Returns a split for CatBoost, to which a missing category is a category of its own."""
    return catboost.Pool(
        _with_text(problem, problem.features[split]),
        problem.targets[split],
        cat_features=problem.categories,
    )


def _with_text(problem: Problem, rows: pd.DataFrame) -> pd.DataFrame:
    text = {name: rows[name].astype(object).fillna("(missing)") for name in problem.categories}
    return rows.assign(**text)


def _catboost_predictor(problem: Problem, model) -> _Predict:
    predict = _predictor(problem, model)
    return lambda rows: predict(_with_text(problem, rows))


def _predictor(problem: Problem, model) -> _Predict:
    if problem.label.task == "binary":
        return lambda rows: model.predict_proba(rows)[:, 1]
    return model.predict


def _best(
    fit: Callable, loss: Callable[[Any], float], settings: Sequence
) -> tuple[Any, float, Any]:
    """Returns the model with the lowest loss, the duration of its fit, and its settings."""
    best, lowest = None, math.inf
    for chosen in settings:
        began = time.perf_counter()
        model = fit(chosen)
        seconds = time.perf_counter() - began
        if (value := loss(model)) < lowest:
            best, lowest = (model, seconds, chosen), value
    if best is None:
        raise ValueError("no fit had a finite loss on eval")
    return best


def _shown(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _result(problem: Problem, predict: _Predict, seconds: float, note: str) -> Result:
    predictions = np.asarray(predict(problem.features["test"]), np.float64)
    if problem.label.log:
        predictions = np.expm1(predictions)
    return Result(score(problem.label.task, problem.labels["test"], predictions), seconds, note)


REFERENCES: dict[str, Callable[[Problem, int, int], Result]] = {
    "constant": constant,
    "linear": linear,
    "lightgbm default": lightgbm_default,
    "lightgbm tuned": lightgbm_tuned,
    "catboost default": catboost_default,
    "catboost tuned": catboost_tuned,
}
"""Functions by name; each takes a problem, a seed and a number of threads."""
