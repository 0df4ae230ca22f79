"""What simple references reach on the splits that the pipeline made.

    python benchmarks/baselines.py --label price --drop id --categorical zipcode \\
        king_county=WORKSPACE/.../CsvExampleGen/examples/1 --model WORKSPACE/.../serving

A score says little by itself. This command puts three references beside it, on
the same rows: the constant predictor (the mean label of train), ridge
regression and LightGBM. Each is fitted on **train**; **eval** chooses the
number of trees and among a few LightGBM settings; **test** is scored once, in
the label's own units. Where all labels of train are positive the references
learn the log of the label.

With ``--model`` the exported SavedModel is scored too, through its ``predict``
signature (serialized ``tf.Example`` under ``examples`` in, ``predictions`` out).
It is given the test rows as a request would carry them: without the label and
without the dropped columns.

Prints a table and writes ``benchmarks/results/baselines.json``. Needs
scikit-learn, lightgbm, pandas, rich and tensorflow; no TFX.
"""

import argparse
import datetime
import json
import os
import pathlib
import platform
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import lightgbm as lgb
import numpy as np
import pandas as pd
import rich
import rich.table
import tensorflow as tf
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

RESULTS = pathlib.Path(__file__).with_name("results") / "baselines.json"
SPLITS = ("train", "eval", "test")
METRICS = ("RMSE", "RMSLE", "MAE")

# Settings that "lightgbm tuned" chooses among by their error on eval.
LIGHTGBM_GRID = (
    dict(num_leaves=15, min_child_samples=10, colsample_bytree=0.4),
    dict(num_leaves=15, min_child_samples=20, colsample_bytree=0.7),
    dict(num_leaves=31, min_child_samples=10, colsample_bytree=0.4),
    dict(num_leaves=31, min_child_samples=20, colsample_bytree=0.7),
    dict(num_leaves=63, min_child_samples=20, colsample_bytree=0.4),
)


class Split(NamedTuple):
    """One split: its columns, its labels, and its rows as a request carries them."""

    features: pd.DataFrame
    labels: np.ndarray
    requests: list[bytes]


class Result(NamedTuple):
    """What one fit of one model scored on test."""

    model: str
    seed: int | None
    train_seconds: float
    scores: dict[str, float]
    note: str = ""


# --- reading -----------------------------------------------------------------


def read_split(examples: pathlib.Path, split: str, label: str, drop: Sequence[str]) -> Split:
    """Reads one split of an Examples artifact (gzipped TFRecords of raw tf.Example)."""
    files = sorted(str(path) for path in (examples / f"Split-{split}").glob("*"))
    if not files:
        raise SystemExit(
            f"{examples} holds no Split-{split}. Hand over the folder of an ExampleGen "
            f"artifact with the splits {', '.join(SPLITS)}."
        )
    rows, requests = [], []
    for record in tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator():
        example = tf.train.Example.FromString(record)
        rows.append({name: _value(f) for name, f in example.features.feature.items()})
        for name in (label, *drop):
            example.features.feature.pop(name, None)
        requests.append(example.SerializeToString())
    table = pd.DataFrame(rows)
    absent = [name for name in (label, *drop) if name not in table]
    if absent:
        raise SystemExit(
            f"Split-{split} of {examples} has no column {', '.join(absent)}. "
            f"It has: {', '.join(sorted(table))}."
        )
    labels = table.pop(label).to_numpy(np.float64)
    # The map in a tf.Example has no order; LightGBM's result depends on it.
    return Split(table.drop(columns=list(drop)).sort_index(axis=1), labels, requests)


def _value(feature: tf.train.Feature) -> Any:
    values = getattr(feature, feature.WhichOneof("kind") or "int64_list").value
    if not values:
        return None
    return values[0].decode() if isinstance(values[0], bytes) else values[0]


def to_columns(
    splits: dict[str, Split], categorical: Sequence[str]
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Makes every column a number or a pandas category; ISO days become a day number.

    The categories are those of train; a value that train never saw is missing.
    """
    train = splits["train"].features
    unknown = sorted(set(categorical) - set(train))
    if unknown:
        raise SystemExit(
            f"--categorical names {', '.join(unknown)}; the columns are: {', '.join(train)}."
        )
    tables = {
        name: split.features.reindex(columns=train.columns).copy() for name, split in splits.items()
    }
    categories = []
    for column in train:
        is_text = train[column].dtype == object
        if is_text and column not in categorical and _is_day(train[column]):
            for table in tables.values():
                days = pd.to_datetime(table[column], errors="coerce", format="%Y-%m-%d")
                table[column] = (days - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
        elif is_text or column in categorical:
            categories.append(column)
            kind = pd.CategoricalDtype(sorted(train[column].dropna().unique()))
            for table in tables.values():
                table[column] = table[column].astype(kind)
        else:
            for table in tables.values():
                table[column] = table[column].astype(np.float64)
    return tables, categories


def _is_day(column: pd.Series) -> bool:
    return pd.to_datetime(column, errors="coerce", format="%Y-%m-%d").notna().mean() > 0.99


# --- scoring -----------------------------------------------------------------


def score(labels: np.ndarray, predictions: np.ndarray) -> dict[str, float]:
    """RMSE, RMSLE and MAE; RMSLE is of log1p, and absent where a label is negative."""
    error = predictions - labels
    scores = {"RMSE": float(np.sqrt(np.mean(error**2))), "MAE": float(np.mean(np.abs(error)))}
    if labels.min() >= 0:
        log_error = np.log1p(np.maximum(predictions, 0)) - np.log1p(labels)
        scores["RMSLE"] = float(np.sqrt(np.mean(log_error**2)))
    return scores


# --- references --------------------------------------------------------------


def ridge(tables: dict[str, pd.DataFrame], target: np.ndarray, categories: Sequence[str]):
    """Ridge on standardised numbers and one-hot categories; alpha by leave-one-out on train."""
    numbers = [name for name in tables["train"] if name not in categories]
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
        (OneHotEncoder(handle_unknown="ignore", sparse_output=False), list(categories)),
    )
    model = make_pipeline(columns, RidgeCV(alphas=np.logspace(-3, 3, 25)))
    return model.fit(tables["train"], target)


def lightgbm_default(tables: dict[str, pd.DataFrame], target: np.ndarray):
    """LightGBM as it comes: 100 trees of 31 leaves. No seed changes it."""
    return lgb.LGBMRegressor(verbose=-1).fit(tables["train"], target)


def lightgbm_tuned(
    tables: dict[str, pd.DataFrame],
    target: np.ndarray,
    eval_target: np.ndarray,
    settings: dict[str, Any],
    seed: int,
):
    """LightGBM with a small learning rate, stopped where the error on eval stops falling."""
    model = lgb.LGBMRegressor(
        n_estimators=5000,
        learning_rate=0.03,
        subsample=0.8,
        subsample_freq=1,
        reg_lambda=1.0,
        random_state=seed,
        verbose=-1,
        **settings,
    )
    return model.fit(
        tables["train"],
        target,
        eval_X=tables["eval"],
        eval_y=eval_target,
        callbacks=[lgb.early_stopping(150, verbose=False)],
    )


def _note(model: Any) -> str:
    """What was chosen from train and eval."""
    if isinstance(model, lgb.LGBMRegressor):
        chosen = {name: model.get_params()[name] for name in LIGHTGBM_GRID[0]}
        trees = model.best_iteration_ or model.n_estimators
        return f"{trees} trees, " + ", ".join(f"{key} {value}" for key, value in chosen.items())
    return f"alpha {model[-1].alpha_:.3g}"


def run_references(
    splits: dict[str, Split], categorical: Sequence[str], seeds: int
) -> list[Result]:
    """Fits every reference and scores it on test."""
    tables, categories = to_columns(splits, categorical)
    train, evaluation, test = (splits[name] for name in SPLITS)
    positive = min(train.labels.min(), evaluation.labels.min()) > 0
    forward: Callable = np.log if positive else np.asarray
    backward: Callable = np.exp if positive else np.asarray
    target, eval_target = forward(train.labels), forward(evaluation.labels)
    results = []

    def fit(name: str, function: Callable, *args: Any, seed: int | None = None, **kwargs: Any):
        start = time.perf_counter()
        model = function(tables, target, *args, **kwargs)
        seconds = time.perf_counter() - start
        scores = score(test.labels, backward(model.predict(tables["test"])))
        results.append(Result(name, seed, seconds, scores, _note(model)))

    mean = np.full_like(test.labels, train.labels.mean())
    results.append(Result("constant", None, 0.0, score(test.labels, mean)))
    fit("ridge", ridge, categories)
    fit("lightgbm default", lightgbm_default)

    tried = [
        (lightgbm_tuned(tables, target, eval_target, settings, 0), settings)
        for settings in LIGHTGBM_GRID
    ]
    _, best = min(tried, key=lambda pair: pair[0].best_score_["valid_0"]["l2"])
    for seed in range(seeds):
        fit("lightgbm tuned", lightgbm_tuned, eval_target, best, seed, seed=seed)
    return results


# --- the model under test ----------------------------------------------------


def run_saved_model(directory: pathlib.Path, test: Split, batch_size: int = 1024) -> Result:
    """Scores a SavedModel (or the newest version in a serving directory) on test."""
    versions = [path for path in directory.glob("*") if path.name.isdigit() and path.is_dir()]
    if not (directory / "saved_model.pb").exists() and versions:
        directory = max(versions, key=lambda path: int(path.name))
    if not (directory / "saved_model.pb").exists():
        raise SystemExit(f"{directory} is neither a SavedModel nor a directory of numbered ones.")
    signatures = tf.saved_model.load(str(directory)).signatures
    if "predict" not in signatures:
        raise SystemExit(
            f"{directory} has no signature 'predict'; it has: {', '.join(signatures) or 'none'}."
        )
    predict = signatures["predict"]
    inputs, outputs = predict.structured_input_signature[1], predict.structured_outputs
    if set(inputs) != {"examples"} or "predictions" not in outputs:
        raise SystemExit(
            f"The signature 'predict' of {directory} takes {', '.join(inputs)} and answers "
            f"{', '.join(outputs)}; expected 'examples' in and 'predictions' out."
        )
    batches = [
        predict(examples=tf.constant(test.requests[start : start + batch_size]))["predictions"]
        for start in range(0, len(test.requests), batch_size)
    ]
    predictions = np.concatenate([batch.numpy() for batch in batches]).astype(np.float64)
    finite = int(np.isfinite(predictions).sum())
    if predictions.size != len(test.requests) or finite != predictions.size:
        raise SystemExit(
            f"{directory} answered {len(test.requests)} rows with predictions of shape "
            f"{predictions.shape}, {finite} of them finite; expected one finite number per row."
        )
    note = f"version {directory.name}" if directory.name.isdigit() else ""
    return Result("model", None, float("nan"), score(test.labels, predictions.reshape(-1)), note)


# --- the record --------------------------------------------------------------


def summarize(dataset: str, results: Sequence[Result]) -> list[dict[str, Any]]:
    """One row per model and metric: the mean over seeds, and its spread."""
    rows = []
    for model in dict.fromkeys(result.model for result in results):
        fits = [result for result in results if result.model == model]
        for metric in METRICS:
            values = [fit.scores[metric] for fit in fits if metric in fit.scores]
            if not values:
                continue
            seconds = float(np.mean([fit.train_seconds for fit in fits]))
            rows.append(
                dict(
                    dataset=dataset,
                    metric=metric,
                    model=model,
                    value=round(float(np.mean(values)), 5),
                    std=round(float(np.std(values, ddof=1)), 5) if len(values) > 1 else None,
                    seeds=len(values),
                    train_seconds=None if np.isnan(seconds) else round(seconds, 2),
                )
            )
    return rows


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.4f}" if value < 10 else f"{value:,.0f}"


def print_table(dataset: str, splits: dict[str, Split], rows: Sequence[dict[str, Any]]) -> None:
    value = {(row["model"], row["metric"]): row["value"] for row in rows}
    models = list(dict.fromkeys(row["model"] for row in rows))
    counts = ", ".join(f"{name} {len(split.labels):,}" for name, split in splits.items())
    table = rich.table.Table(title=f"{dataset}: scored on test ({counts})")
    table.add_column("model")
    for metric in METRICS:
        table.add_column(metric, justify="right")
    for model in models:
        cells = [value.get((model, metric)) for metric in METRICS]
        table.add_row(model, *(_number(cell) for cell in cells))
    if "model" in models:
        table.add_section()
        for reference in ("ridge", "constant"):
            cells = []
            for metric in METRICS:
                ours, theirs = value.get(("model", metric)), value.get((reference, metric))
                cells.append(
                    "–" if ours is None or not theirs else f"{100 * (1 - ours / theirs):+.1f} %"
                )
            table.add_row(f"model better than {reference} by", *cells)
    rich.print(table)


def machine() -> dict[str, Any]:
    """The machine, as far as it explains a training time."""
    cpu = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":", 1)[1].strip() if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return dict(system=platform.system(), cpu=cpu, cores=os.cpu_count(), memory_gib=round(memory))


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in ("tensorflow", "tensorflow-cpu", "scikit-learn", "lightgbm", "numpy", "pandas"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


# --- the command -------------------------------------------------------------


def parse_args(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "examples",
        nargs="+",
        metavar="[NAME=]FOLDER",
        help="folder of an ExampleGen artifact, which holds Split-train, Split-eval and Split-test",
    )
    parser.add_argument("--label", default="price", help="the column to predict (default: price)")
    parser.add_argument(
        "--drop", nargs="*", default=["id"], help="columns no model may see (default: id)"
    )
    parser.add_argument(
        "--categorical",
        nargs="*",
        default=["zipcode"],
        help="number columns that are names, besides all text columns (default: zipcode)",
    )
    parser.add_argument(
        "--model", type=pathlib.Path, help="a SavedModel, or a serving directory of numbered ones"
    )
    parser.add_argument(
        "--seeds", type=int, default=3, help="fits of the tuned LightGBM (default: 3)"
    )
    parser.add_argument(
        "--output",
        type=pathlib.Path,
        default=RESULTS,
        help="the record (default: benchmarks/results/baselines.json)",
    )
    args = parser.parse_args(argv)
    if args.seeds < 1:
        parser.error(f"--seeds must be 1 or more, not {args.seeds}")
    if args.model and len(args.examples) > 1:
        # A model has one test split; on another run's it may have trained.
        parser.error("--model goes with one folder of examples: that of the run which trained it")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = parse_args(argv)
    summary, repetitions = [], []
    for item in args.examples:
        name, _, folder = item.rpartition("=")
        examples = pathlib.Path(folder)
        dataset = name or examples.resolve().name
        splits = {split: read_split(examples, split, args.label, args.drop) for split in SPLITS}
        results = run_references(splits, args.categorical, args.seeds)
        if args.model:
            results.append(run_saved_model(args.model, splits["test"]))
        rows = summarize(dataset, results)
        print_table(dataset, splits, rows)
        summary += rows
        for result in results:
            seconds = None if np.isnan(result.train_seconds) else round(result.train_seconds, 2)
            repetitions.append(
                {
                    "dataset": dataset,
                    **result._asdict(),
                    "train_seconds": seconds,
                    "rows": {split: len(part.labels) for split, part in splits.items()},
                }
            )
    arguments = sys.argv[1:] if argv is None else list(argv)
    record = dict(
        machine=machine(),
        date=datetime.date.today().isoformat(),
        versions=versions(),
        command=shlex.join(["python", "benchmarks/baselines.py", *arguments]),
        summary=summary,
        repetitions=repetitions,
    )
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(record, indent=1) + "\n")
    print(f"written: {args.output}")


if __name__ == "__main__":
    main()
