"""Reference models for the pipeline's examples: a constant, a linear model and boosted trees.

Each reference is fitted on **train**; for the tuned ones, **eval** selects the number of trees and
one of a few settings; **test** is scored once, in the label's units.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import catboost
import lightgbm
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.reference_data import ReferenceData

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


_Predict = Callable[[pd.DataFrame], np.ndarray]
"""Function that predicts rows, on the scale of the target or as probabilities of 1."""


def constant(data: ReferenceData, seed: int, threads: int) -> Result:
    """Scores the constant that is best for each metric, as in the gates."""
    labels = data.labels["test"]
    if data.label.task == "binary":
        share = data.labels["train"].mean()
        return Result(score("binary", labels, np.full_like(labels, share)), 0.0, "")
    train = data.labels["train"]
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


def linear(data: ReferenceData, seed: int, threads: int) -> Result:
    """Fits ridge or logistic regression to standardized numbers and one-hot categories."""
    numeric = [name for name in data.features["train"] if name not in data.categories]
    impute = SimpleImputer(strategy="median", add_indicator=True)
    one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    columns = make_column_transformer(
        (make_pipeline(impute, StandardScaler()), numeric), (one_hot, data.categories)
    )
    train, target = data.features["train"], data.targets["train"]
    if data.label.task == "regression":
        # RidgeCV selects the penalty by leave-one-out cross-validation on train.
        model = make_pipeline(columns, RidgeCV(alphas=np.logspace(-2, 4, 25)))
        began = time.perf_counter()
        model.fit(train, target)
        seconds = time.perf_counter() - began
        return _result(data, model.predict, seconds, f"alpha {model[-1].alpha_:.3g}")

    def fit(c: float):
        return make_pipeline(columns, LogisticRegression(C=c, max_iter=2000)).fit(train, target)

    def loss(model) -> float:
        predictions = model.predict_proba(data.features["eval"])[:, 1]
        return log_loss(data.targets["eval"], predictions)

    model, seconds, chosen = _best(fit, loss, _INVERSE_PENALTIES)
    return _result(data, lambda rows: model.predict_proba(rows)[:, 1], seconds, f"C {chosen}")


def lightgbm_default(data: ReferenceData, seed: int, threads: int) -> Result:
    """Fits LightGBM with its default settings."""
    began = time.perf_counter()
    model = _lightgbm(data, seed, threads)
    model.fit(data.features["train"], data.targets["train"])
    return _result(data, _predictor(data, model), time.perf_counter() - began, "")


def lightgbm_tuned(data: ReferenceData, seed: int, threads: int) -> Result:
    """Fits LightGBM with the best of a few settings and early stopping on eval."""

    def fit(settings: dict[str, Any]):
        model = _lightgbm(
            data,
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
            data.features["train"],
            data.targets["train"],
            eval_X=data.features["eval"],
            eval_y=data.targets["eval"],
            callbacks=[lightgbm.early_stopping(_PATIENCE, verbose=False)],
        )

    def loss(model) -> float:
        (value,) = model.best_score_["valid_0"].values()
        return value

    model, seconds, chosen = _best(fit, loss, LIGHTGBM_SETTINGS)
    note = f"{model.best_iteration_} trees, {_listed(chosen)}"
    return _result(data, _predictor(data, model), seconds, note)


def _lightgbm(data: ReferenceData, seed: int, threads: int, **settings: Any):
    kind = lightgbm.LGBMRegressor
    if data.label.task == "binary":
        kind = lightgbm.LGBMClassifier
    return kind(random_state=seed, n_jobs=threads, verbose=-1, **settings)


def catboost_default(data: ReferenceData, seed: int, threads: int) -> Result:
    """Fits CatBoost with its default settings: a thousand trees."""
    began = time.perf_counter()
    model = _catboost(data, seed, threads)
    model.fit(_pool(data, "train"))
    return _result(data, _catboost_predictor(data, model), time.perf_counter() - began, "")


def catboost_tuned(data: ReferenceData, seed: int, threads: int) -> Result:
    """Fits CatBoost with the best of a few settings and early stopping on eval."""

    def fit(settings: dict[str, Any]):
        model = _catboost(
            data,
            seed,
            threads,
            iterations=4000,
            learning_rate=0.05,
            od_wait=_PATIENCE,
            **settings,
        )
        return model.fit(_pool(data, "train"), eval_set=_pool(data, "eval"))

    def loss(model) -> float:
        (value,) = model.get_best_score()["validation"].values()
        return value

    model, seconds, chosen = _best(fit, loss, CATBOOST_SETTINGS)
    note = f"{model.get_best_iteration() + 1} trees, {_listed(chosen)}"
    return _result(data, _catboost_predictor(data, model), seconds, note)


def _catboost(data: ReferenceData, seed: int, threads: int, **settings: Any):
    kind = catboost.CatBoostRegressor
    if data.label.task == "binary":
        kind = catboost.CatBoostClassifier
    return kind(
        random_seed=seed, thread_count=threads, verbose=False, allow_writing_files=False, **settings
    )


def _pool(data: ReferenceData, split: str) -> catboost.Pool:
    """Returns a split for CatBoost, to which a missing category is a category of its own."""
    return catboost.Pool(
        _with_text(data, data.features[split]),
        data.targets[split],
        cat_features=data.categories,
    )


def _with_text(data: ReferenceData, rows: pd.DataFrame) -> pd.DataFrame:
    text = {name: rows[name].astype(object).fillna("(missing)") for name in data.categories}
    return rows.assign(**text)


def _catboost_predictor(data: ReferenceData, model) -> _Predict:
    predict = _predictor(data, model)
    return lambda rows: predict(_with_text(data, rows))


def _predictor(data: ReferenceData, model) -> _Predict:
    if data.label.task == "binary":
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


def _listed(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())


def _result(data: ReferenceData, predict: _Predict, seconds: float, note: str) -> Result:
    predictions = np.asarray(predict(data.features["test"]), np.float64)
    if data.label.log:
        predictions = np.expm1(predictions)
    return Result(score(data.label.task, data.labels["test"], predictions), seconds, note)


REFERENCES: dict[str, Callable[[ReferenceData, int, int], Result]] = {
    "constant": constant,
    "linear": linear,
    "lightgbm default": lightgbm_default,
    "lightgbm tuned": lightgbm_tuned,
    "catboost default": catboost_default,
    "catboost tuned": catboost_tuned,
}
"""Functions by name; each takes the data, a seed and a number of threads."""
