"""Tests of the Evaluator's executor on real SavedModels: metrics, gates, slices and the verdict."""

import dataclasses
import math
import pathlib
import shutil

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.api import types
from tfx.types import standard_artifacts
from tiny_model import artifact, deployed, evaluate, save

from components import deployments
from components.evaluator import (
    comparison,
    eval_config,
    executor,
    extractors,
    metric_catalogue,
    verdict,
)
from components.evaluator.bounds import Bound
from components.evaluator.comparison import Comparison
from components.evaluator.criteria import Criteria, Slice
from components.evaluator.eval_config import BASELINE
from components.serving_check.report import NOTHING_FOUND, Report
from models.errors import UserError
from models.features.label import Label

rng = np.random.default_rng(0)
COUNT = 400

# The statistics are a training split's, which the test split only resembles.
PRICE = Label("price", "regression", True, 200.0, 100.0, 5.1, 0.6, 180.0)
ANSWER = Label("answer", "binary", classes=("no", "yes"), frequencies=(0.6, 0.4))
GRADE = Label("grade", "multiclass", classes=("9", "10", "11"), frequencies=(0.2, 0.5, 0.3))

METRICS = {
    label.task: tuple(metric_catalogue.of_task(label.task, intervals=False))
    for label in (PRICE, ANSWER, GRADE)
}


def bound(metric, absolute=None, may_worsen_by=None) -> Bound:
    return Bound(metric, absolute, may_worsen_by)


def criteria(label, *bounds, slices=()) -> Criteria:
    return Criteria({label.name: METRICS[label.task]}, bounds, slices)


def prices() -> list[dict]:
    """Returns sales with the predictions of several models."""
    rows = []
    for number in range(COUNT):
        price = float(np.float32(rng.lognormal(5.2, 0.5)))
        north = number % 4 == 0
        error = float(rng.normal(0, 20))
        rows.append(
            {
                "price": price,
                "area": "north" if north else "south",
                "size": None if number % 10 == 0 else float(number % 40),
                "close": price + error,
                "worse_in_north": price + error * (3.0 if north else 0.9),
                "mean_with_noise": 200.0 + float(rng.normal(0, 50)),
                "no_number": float("nan") if number == 5 else price,
            }
        )
    return rows


ROWS = prices()
LOOSE = bound("rmse", absolute=1e6)


def column(name, rows=None) -> np.ndarray:
    return np.array([row[name] for row in rows or ROWS])


def of_model(metrics) -> dict[str, float]:
    """Returns the metrics without TFMA's differences from the baseline."""
    return {name: value for name, value in metrics.items() if not name.endswith("_diff")}


def failed(result) -> list[str]:
    return [line["text"] for line in result["lines"] if not line["passed"]]


def agrees(result, blessing) -> bool:
    """Checks that the blessing, the verdict and its sentences agree; returns the blessing."""
    blessed = blessing.get_int_custom_property("blessed") == 1
    assert result["blessed"] == blessed
    return is_blessed(result)


def is_blessed(result) -> bool:
    """Checks that the verdict and its sentences agree; returns whether the model is blessed."""
    assert result["blessed"] == all(line["passed"] for line in result["lines"])
    return result["blessed"]


NO_BASELINE = Comparison()


def judged_again(
    folder, judged, comparison=NO_BASELINE, labels=(PRICE,), serving=NOTHING_FOUND
) -> dict:
    """Judges metrics that `evaluate` wrote anew, as a run of TFMA takes seconds."""
    return verdict.make(str(folder / "evaluation"), judged, labels, comparison, serving)


@pytest.fixture(scope="module")
def folder_alone(tmp_path_factory):
    return tmp_path_factory.mktemp("alone")


@pytest.fixture(scope="module")
def alone(folder_alone):
    """Evaluates a good model without a baseline."""
    slices = (
        Slice("area"),
        Slice("price", (100.0, 200.5)),
        Slice("size", (10.0,), gated=False),
    )
    judged = criteria(PRICE, bound("rmse", 25.0, 0.1), bound("skill", 0.5), slices=slices)
    return evaluate(folder_alone, ROWS, judged, PRICE, "close")


def expected_regression(rows, name) -> dict[str, float]:
    y, p = column("price", rows), column(name, rows)
    p_log = np.maximum(p, 0)
    c = {
        "rmse": np.sqrt(np.mean((y - 200) ** 2)),
        "mae": np.mean(np.abs(y - 180)),
        "rmsle": np.sqrt(np.mean((np.log1p(y) - 5.1) ** 2)),
    }
    m = {
        "rmse": sklearn.metrics.mean_squared_error(y, p) ** 0.5,
        "mae": sklearn.metrics.mean_absolute_error(y, p),
        "rmsle": sklearn.metrics.mean_squared_log_error(y, p_log) ** 0.5,
    }
    return {
        **m,
        **{f"{name}_of_constant": value for name, value in c.items()},
        **{f"{name}_gain": 1 - m[name] / c[name] for name in m},
        "skill": 1 - (m["rmse"] / c["rmse"]) ** 2,
        "example_count": len(rows),
    }


def test_regression_metrics_are_those_of_numpy(alone):
    result, _ = alone
    assert result["metrics"]["overall"] == pytest.approx(
        expected_regression(ROWS, "close"), rel=1e-5
    )
    assert result["examples"] == COUNT
    assert result["baseline_metrics"] is None


def test_slices_by_value_and_by_band_are_those_of_numpy(alone):
    result, _ = alone
    key = Slice("price", (100.0, 200.5)).key
    parts = {
        "area: north": [row for row in ROWS if row["area"] == "north"],
        "area: south": [row for row in ROWS if row["area"] == "south"],
        f"{key}: below 100": [row for row in ROWS if row["price"] < 100],
        f"{key}: 100 to 200.5": [row for row in ROWS if 100 <= row["price"] < 200.5],
        f"{key}: 200.5 and above": [row for row in ROWS if row["price"] >= 200.5],
    }
    for name, rows in parts.items():
        assert result["metrics"][name] == pytest.approx(
            expected_regression(rows, "close"), rel=1e-5
        )


def test_bands_of_an_optional_column_leave_out_what_is_missing(alone):
    result, _ = alone
    counts = {
        name: metrics["example_count"]
        for name, metrics in result["metrics"].items()
        if name.startswith("size")
    }
    there = [row["size"] for row in ROWS if row["size"] is not None]
    key = Slice("size", (10.0,)).key
    assert counts[f"{key}: below 10"] == sum(size < 10 for size in there)
    assert counts[f"{key}: 10 and above"] == sum(size >= 10 for size in there)


def test_a_good_model_without_a_baseline_is_blessed(alone):
    result, blessing = alone
    assert agrees(result, blessing)
    metrics = result["metrics"]["overall"]
    texts = [line["text"] for line in result["lines"]]
    assert f"RMSE is {metrics['rmse']:.4g}; it must be at most 25" in texts
    assert f"skill is {metrics['skill']:.4g}; it must be at least 0.5" in texts
    assert any(text.startswith("RMSE of a constant predictor is ") for text in texts)
    assert result["notes"] == ["No other model is deployed: only the absolute bounds apply."]
    assert result["baseline"] == {"version": None, "problem": "", "set_aside": ""}
    assert not blessing.has_custom_property("baseline_model_id")


def test_without_bounds_the_best_model_is_not_blessed(alone, folder_alone):
    result = judged_again(folder_alone, criteria(PRICE))
    assert not is_blessed(result)
    assert failed(result) == ["gates: never is set, so no model is blessed, however good it is"]
    rmse = result["metrics"]["overall"]["rmse"]
    assert rmse == pytest.approx(expected_regression(ROWS, "close")["rmse"], rel=1e-5)
    assert f"On the test split: rmse {rmse:.4g}, mae " in result["notes"][-1]


def test_a_model_no_better_than_a_constant_is_refused_whatever_the_bound(tmp_path):
    """A change bound alone requires it too."""
    judged = criteria(PRICE, LOOSE, bound("skill", -5.0))
    result, blessing = evaluate(tmp_path, ROWS, judged, PRICE, "mean_with_noise")
    assert result["metrics"]["overall"]["rmse_gain"] < 0
    assert not agrees(result, blessing)
    assert any("but must be at least 1% lower" in text for text in failed(result))
    result = judged_again(tmp_path, criteria(PRICE, LOOSE, bound("skill", None, 0.1)))
    assert not is_blessed(result)
    assert any(text.startswith("skill") for text in failed(result))


def test_a_prediction_that_is_not_a_number_is_refused_after_findings_of_the_serving_check(tmp_path):
    judged = criteria(PRICE, LOOSE, bound("skill", 0.1))
    serving = Report(("predict answers at random",), ("other was not judged",))
    result, blessing = evaluate(tmp_path, ROWS, judged, PRICE, "no_number", serving=serving)
    assert result["metrics"]["overall"]["rmse"] is None
    assert not agrees(result, blessing)
    answers_at_random, no_number, *_ = failed(result)
    assert answers_at_random == "predict answers at random"
    assert no_number.startswith("predictions is not a finite number in 1 of 400 rows: nan where ")
    assert result["notes"][0] == "other was not judged"


def test_findings_of_the_serving_check_fail_the_verdict(alone, folder_alone):
    serving = Report(("predict answers at random",), ("other was not judged",))
    result = judged_again(folder_alone, criteria(PRICE, LOOSE), serving=serving)
    assert not is_blessed(result)
    assert failed(result) == ["predict answers at random"]
    assert result["notes"][0] == "other was not judged"
    assert result["metrics"]["overall"]["rmse"] is not None


def test_falling_behind_the_baseline_overall_or_in_a_gated_slice_is_refused(tmp_path):
    """The candidate is worse in the north and better elsewhere; overall it meets its bounds."""
    bounds = (bound("rmse", 100.0, 0.9), bound("mae", None, 0.9))
    judged = criteria(PRICE, *bounds, slices=(Slice("area"),))
    result, blessing = evaluate(tmp_path, ROWS, judged, PRICE, "worse_in_north", "close")
    assert not agrees(result, blessing)
    assert result["baseline_metrics"]["overall"] == pytest.approx(
        expected_regression(ROWS, "close"), rel=1e-5
    )
    assert of_model(result["metrics"]["area: north"]) == pytest.approx(
        expected_regression([r for r in ROWS if r["area"] == "north"], "worse_in_north"), rel=1e-5
    )
    lines = failed(result)
    assert [text.split(" is ")[0] for text in lines] == ["RMSE where area", "MAE where area"]
    assert all("north" in text and "(+200.0%); it may rise by 90%, to " in text for text in lines)
    assert result["notes"] == []

    not_gated = dataclasses.replace(judged, slices=(Slice("area", gated=False),))
    assert is_blessed(judged_again(tmp_path, not_gated, Comparison("17")))

    result = judged_again(tmp_path, criteria(PRICE, bound("rmse", 100.0, 0.1)), Comparison("17"))
    assert not is_blessed(result)
    [text] = failed(result)
    assert text.startswith("RMSE is ") and "it may rise by 10%, to " in text


COMPARED = criteria(PRICE, bound("rmse", 100.0, 0.1))
ASK = (
    '; to accept this model by the absolute bounds alone, say why: run --new-baseline "why" (on a '
    'cluster: --param new-baseline="why")'
)
CANNOT = "The deployed model (version 17) cannot be used as the baseline: it "


@pytest.mark.parametrize("broken", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_possible_comparison_can_be_set_aside(tmp_path, broken):
    """A baseline that is set aside is not loaded."""
    model = deployed(save(tmp_path, 2, PRICE, "close"), deployments.Baseline("17"))
    if broken:
        _without_graph(pathlib.Path(model.uri) / "Format-Serving")
    given = (ROWS, COMPARED, PRICE, "worse_in_north")
    inputs = {"baseline_model": [model]}
    result, blessing = evaluate(tmp_path, *given, more_inputs=inputs, new_baseline="another market")
    assert agrees(result, blessing)
    assert result["baseline_metrics"] is None
    assert result["notes"] == [
        "The deployed model (version 17) was set aside, so only the absolute bounds apply; reason: "
        "another market"
    ]


def test_without_a_change_bound_no_comparison_is_needed(alone, folder_alone):
    compared = Comparison("17", "does not predict price (it predicts rent)")
    result = judged_again(folder_alone, criteria(PRICE, bound("rmse", 100.0)), compared)
    assert is_blessed(result)
    assert result["notes"] == [f"{CANNOT}does not predict price (it predicts rent)"]


def compared_with(folder, baseline) -> Comparison:
    """Returns the comparison with an artifact of the component Baseline that has no model."""
    model = deployed(artifact(standard_artifacts.Model, folder / "empty", 2), baseline)
    return comparison.make([PRICE], [model], schema_pb2.Schema(), set_aside="")


def test_a_damaged_baseline_needs_a_decision(alone, folder_alone, tmp_path):
    """The baseline has no files, as the component Baseline copies no damaged model."""
    damage = "is damaged: assets/zipcode is missing"
    compared = compared_with(tmp_path, deployments.Baseline("17", "", damage))
    assert not compared.is_made
    result = judged_again(folder_alone, COMPARED, compared)
    assert not is_blessed(result)
    assert failed(result) == [f"{CANNOT}{damage}{ASK}"]


def _without_graph(export):
    (export / "saved_model.pb").write_bytes(b"no graph")


def _without_signature(export):
    shutil.rmtree(export / "variables")
    module = tf.Module()
    module.other = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(export), {"other": module.other})


def _failing(export):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def predict(examples):
        with tf.control_dependencies([tf.debugging.Assert(tf.size(examples) < 0, ["closed"])]):
            return {"predictions": tf.ones([tf.size(examples), 1])}

    module = tf.Module()
    module.predict = predict
    tf.saved_model.save(module, str(export), {"predict": predict})


@pytest.mark.parametrize(
    ("broken", "failure"),
    [
        (_without_signature, "the model cannot be loaded in 400 of 400 rows: KeyError: 'predict'"),
        (_failing, "the model fails in 400 of 400 rows: InvalidArgumentError: "),
    ],
)
def test_what_keeps_a_baseline_from_being_scored_is_found(tmp_path, broken, failure):
    export = pathlib.Path(save(tmp_path, 2, PRICE, "close").uri) / "Format-Serving"
    broken(export)
    shared = tfma.default_eval_shared_model(
        str(export), model_name=BASELINE, eval_config=eval_config.make(COMPARED, [PRICE])
    )
    model = extractors._Model(shared)
    model.load()
    close = pa.array([[1.0]] * COUNT, pa.list_(pa.float32()))
    _, [finding] = model.ask(pa.RecordBatch.from_pydict({"close": close}))
    assert finding.sentence(COUNT).startswith(failure)


@pytest.mark.parametrize(
    "broken",
    [
        _without_graph,
        pytest.param(_without_signature, marks=pytest.mark.slow),
        pytest.param(_failing, marks=pytest.mark.slow),
    ],
)
def test_a_baseline_that_cannot_be_scored_does_not_break_the_run(tmp_path, broken):
    model = deployed(save(tmp_path, 2, PRICE, "close"), deployments.Baseline("17"))
    broken(pathlib.Path(model.uri) / "Format-Serving")
    inputs = {"baseline_model": [model]}
    result, blessing = evaluate(tmp_path, ROWS, COMPARED, PRICE, "close", more_inputs=inputs)
    assert not agrees(result, blessing)
    (line,) = failed(result)
    assert line.startswith(f"{CANNOT}cannot be scored: ") and line.endswith(ASK)
    assert "\n" not in line
    assert of_model(result["metrics"]["overall"]) == pytest.approx(
        expected_regression(ROWS, "close"), rel=1e-5
    )


def test_a_candidate_that_cannot_be_scored_is_not_blamed_on_the_baseline(tmp_path):
    rows = [{**row, "close": None} if number == 7 else row for number, row in enumerate(ROWS)]
    result, blessing = evaluate(tmp_path, rows, COMPARED, PRICE, "close", "mean_with_noise")
    assert not agrees(result, blessing)
    assert failed(result)[0].startswith("the model fails in ")
    assert result["baseline"]["problem"] == ""
    assert result["baseline_metrics"]["overall"]["rmse"] > 0


def test_a_baseline_that_predicts_nan_needs_a_decision(tmp_path):
    result, blessing = evaluate(tmp_path, ROWS, COMPARED, PRICE, "worse_in_north", "no_number")
    assert not agrees(result, blessing)
    (line,) = failed(result)
    assert line.startswith(
        f"{CANNOT}cannot be scored: predictions is not a finite number in 1 of 400 rows: nan where "
        "no_number is "
    )
    assert line.endswith(ASK)
    assert result["baseline_metrics"] is None


def test_a_baseline_that_calls_a_python_function_needs_a_decision(tmp_path):
    """Such a baseline was blessed before exports were checked in a fresh process."""

    def change(values):
        return tf.ensure_shape(tf.numpy_function(lambda x: x, [values], tf.float32), [None, 1])

    model = deployed(save(tmp_path, 2, PRICE, "close", change=change), deployments.Baseline("17"))
    inputs = {"baseline_model": [model]}
    result, blessing = evaluate(tmp_path, ROWS, COMPARED, PRICE, "close", more_inputs=inputs)
    assert not agrees(result, blessing)
    assert failed(result) == [
        f"{CANNOT}cannot be scored: the model cannot be loaded in 400 of 400 rows: it calls a "
        f"Python function of the process that trained it{ASK}"
    ]


def test_tfx_neither_validates_nor_blesses():
    judged = criteria(PRICE, bound("rmse", 25.0, 0.1), bound("skill", 0.5), slices=(Slice("area"),))
    config = eval_config.make(judged, [PRICE])
    thresholds = tfma.metrics.metric_thresholds_from_metrics_specs
    assert thresholds(config.metrics_specs, eval_config=config) == {}


@pytest.mark.parametrize("blessed", [True, False])
def test_a_blessing_says_what_tfx_reads(tmp_path, blessed):
    models = [artifact(standard_artifacts.Model, tmp_path / str(id), id) for id in (1, 2)]
    blessing = artifact(standard_artifacts.ModelBlessing, tmp_path / "blessing", 3)
    executor._bless(blessing, blessed, *models)
    (file,) = (tmp_path / "blessing").iterdir()
    assert file.name == ("BLESSED" if blessed else "NOT_BLESSED")
    assert blessing.get_int_custom_property("blessed") == int(blessed)
    for name, model in zip(("current_model", "baseline_model"), models):
        assert blessing.get_string_custom_property(name) == model.uri
        assert blessing.get_int_custom_property(f"{name}_id") == model.id


def test_an_empty_artifact_is_not_a_baseline(alone, folder_alone, tmp_path):
    """The artifact is empty if nothing was ever pushed."""
    compared = compared_with(tmp_path, deployments.Baseline())
    assert not compared.is_made
    result = judged_again(folder_alone, COMPARED, compared)
    assert is_blessed(result)
    assert result["baseline_metrics"] is None
    assert result["notes"] == ["No other model is deployed: only the absolute bounds apply."]


def answers() -> list[dict]:
    rows = []
    for number in range(COUNT):
        yes = bool(rng.random() < 0.35)
        logit = rng.normal(1.5 if yes else -1.5, 1.5)
        rows.append(
            {
                "answer": "yes" if yes else "no",
                "side": "left" if number % 3 else "right",
                "probability": float(np.float32(1 / (1 + math.exp(-logit)))),
                "blurred": float(np.float32(1 / (1 + math.exp(-0.2 * logit - 0.3)))),
            }
        )
    return rows


def test_binary_metrics_are_those_of_scikit_learn(tmp_path):
    rows = answers()
    bounds = (bound("auc", 0.8, 0.05), bound("accuracy", 0.7, 0.1), bound("log_loss", 0.6, 0.1))
    judged = criteria(ANSWER, *bounds, slices=(Slice("side"),))
    result, blessing = evaluate(tmp_path, rows, judged, ANSWER, "probability", "blurred")
    assert agrees(result, blessing)
    for name, part in (
        ("overall", rows),
        ("side: left", [row for row in rows if row["side"] == "left"]),
    ):
        for model, metrics in (
            ("probability", result["metrics"][name]),
            ("blurred", result["baseline_metrics"][name]),
        ):
            y, p = column("answer", part) == "yes", column(model, part)
            loss = sklearn.metrics.log_loss(y, p)
            constant_loss = sklearn.metrics.log_loss(y, np.full(len(y), 0.4))
            expected = {
                "accuracy": np.mean((p > 0.5) == y),
                "accuracy_of_constant": np.mean(~y),
                "accuracy_gain": 1 - np.mean((p > 0.5) != y) / np.mean(y),
                "log_loss": loss,
                "log_loss_of_constant": constant_loss,
                "log_loss_gain": 1 - loss / constant_loss,
                "skill": 1 - loss / constant_loss,
                "example_count": len(part),
            }
            metrics = of_model(metrics)
            auc = metrics.pop("auc")
            assert metrics == pytest.approx(expected, rel=1e-5)
            assert auc == pytest.approx(sklearn.metrics.roc_auc_score(y, p), abs=1e-3)


def test_multiclass_metrics_with_a_class_that_training_never_saw(tmp_path):
    """Labels are integers; a row of an unknown class counts as a miss with minimal probability."""
    names = [9, 10, 11, 12]
    truth = rng.choice(4, COUNT, p=[0.2, 0.4, 0.3, 0.1])
    logits = rng.normal(0, 1, (COUNT, 3)) + 2.5 * np.eye(4)[truth][:, :3]
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    rows = [
        {"grade": names[t], "p": p.tolist(), "side": "left"} for t, p in zip(truth, probabilities)
    ]
    bounds = (bound("accuracy", 0.5), bound("skill", -9.0))
    result, blessing = evaluate(tmp_path, rows, criteria(GRADE, *bounds), GRADE, "p")
    known = np.concatenate([probabilities, np.full((COUNT, 1), 1e-7)], axis=1)
    constant = np.array([0.2, 0.5, 0.3, 1e-7])
    loss = -np.mean(np.log(known[np.arange(COUNT), truth]))
    constant_loss = -np.mean(np.log(constant[truth]))
    accuracy, constant_accuracy = (
        np.mean(probabilities.argmax(axis=1) == truth),
        np.mean(truth == 1),
    )
    assert result["metrics"]["overall"] == pytest.approx(
        {
            "accuracy": accuracy,
            "accuracy_of_constant": constant_accuracy,
            "accuracy_gain": 1 - (1 - accuracy) / (1 - constant_accuracy),
            "log_loss": loss,
            "log_loss_of_constant": constant_loss,
            "log_loss_gain": 1 - loss / constant_loss,
            "skill": 1 - loss / constant_loss,
            "example_count": COUNT,
        },
        rel=1e-5,
    )
    assert agrees(result, blessing)


@pytest.fixture(scope="module")
def of_intervals(tmp_path_factory):
    """Evaluates a model with intervals against a baseline with another target coverage."""
    folder = tmp_path_factory.mktemp("intervals")
    bounds = (
        bound("rmse", 25.0, 0.1),
        bound("coverage", 0.7, 0.01),
        bound("interval_width", 10.0, 0.01),
    )
    names = tuple(metric_catalogue.of_task("regression"))
    judged = Criteria({"price": names}, bounds, (Slice("area"),))
    candidate, baseline = (dataclasses.replace(PRICE, interval=share) for share in (0.8, 0.9))
    outputs = {"predictions": "middle", "lower": "low", "upper": "high"}
    result, blessing = evaluate(folder, SPANS, judged, candidate, outputs, outputs, baseline)
    assert not agrees(result, blessing)
    return result, judged, candidate, str(folder / "evaluation")


def test_impossible_predictions_are_reported_and_make_metrics_nan(tmp_path):
    """The model is good except for three rows, which a mean over 400 would hide."""
    rows = []
    for number in range(COUNT):
        grade, good = number % 3, number >= 3
        p = 0.9 * np.eye(3)[grade] + 0.1 / 3
        rows.append(
            {
                "grade": ("9", "10", "11")[grade],
                "size": float(number),
                "p": (p if good else p * np.nan).astype(np.float32).tolist(),
            }
        )
    result, blessing = evaluate(tmp_path, rows, criteria(GRADE, bound("accuracy", 0.5)), GRADE, "p")
    assert not agrees(result, blessing)
    first, *others = failed(result)
    assert first == (
        "probabilities is not a finite number in 3 of 400 rows: [nan, nan, nan] where p is "
        "[nan, nan, nan]"
    )
    assert others[0].startswith("accuracy is nan")
    assert result["metrics"]["overall"]["log_loss"] is None


@pytest.mark.parametrize("required", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_a_model_that_reads_the_label_is_judged_as_it_would_serve(tmp_path, required):
    """Requests have no label, so that it is missing or has the default value."""
    judged = criteria(PRICE, LOOSE)
    result, blessing = evaluate(
        tmp_path, ROWS, judged, PRICE, "price", reads=[], fill=None if required else 0.0
    )
    assert not agrees(result, blessing)
    if required:
        assert failed(result)[0].startswith("the model fails in 400 of 400 rows: InvalidArgumentEr")
        assert "price" in failed(result)[0]
        assert result["metrics"]["overall"]["rmse"] is None
    else:
        expected = np.sqrt(np.mean(column("price") ** 2))
        assert result["metrics"]["overall"]["rmse"] == pytest.approx(expected, rel=1e-5)


def test_a_model_that_cannot_be_called_is_neither_scored_nor_blessed(tmp_path):
    serving = Report(("it cannot be loaded",), can_be_scored=False)
    result, blessing = evaluate(
        tmp_path, ROWS, criteria(PRICE, LOOSE), PRICE, "close", serving=serving
    )
    assert not agrees(result, blessing)
    assert failed(result) == ["it cannot be loaded"]
    assert result["metrics"] == {}
    assert (tmp_path / "blessing" / "NOT_BLESSED").exists()
    assert blessing.get_int_custom_property("current_model_id") == 1


def spans() -> list[dict]:
    """Returns sales with intervals; every tenth label is the upper end of its interval."""
    rows = []
    for number, row in enumerate(ROWS):
        around = row["close"] if number % 10 else row["price"]
        low, high = around - 20, around + (30 if number % 10 else 0)
        middle = around if number % 10 else around - 10
        ends = {"low": float(np.float32(low)), "high": float(np.float32(high))}
        rows.append({**row, **ends, "middle": middle})
    return rows


SPANS = spans()


def test_interval_metrics_are_those_of_numpy(of_intervals):
    result, *_ = of_intervals
    for name, rows in (
        ("overall", SPANS),
        ("area: north", [row for row in SPANS if row["area"] == "north"]),
    ):
        y, low, high = (column(key, rows) for key in ("price", "low", "high"))
        expected = {
            **expected_regression(rows, "middle"),
            "coverage": np.mean((low <= y) & (y <= high)),
            "interval_width": np.mean(high - low),
        }
        assert of_model(result["metrics"][name]) == pytest.approx(expected, rel=1e-5)
        assert 0.7 < expected["coverage"] < 0.9


def test_interval_metrics_are_compared_only_at_the_same_target_coverage(of_intervals):
    result, *_ = of_intervals
    coverage, width = (
        result["metrics"]["overall"][name] for name in ("coverage", "interval_width")
    )
    of_baseline = result["baseline_metrics"]["overall"]
    assert of_baseline["coverage"] is None and of_baseline["interval_width"] is None
    assert of_baseline["rmse"] == result["metrics"]["overall"]["rmse"]
    no_baseline = "but the baseline has no {} to compare it with" + ASK
    texts = [line["text"] for line in result["lines"] if not line["text"].startswith("RMSE")]
    assert texts == [
        f"coverage is {coverage:.4g}; it must be at least 0.7",
        f"coverage is {coverage:.4g}, {no_baseline.format('coverage')}",
        f"mean interval width is {width:.4g}; it must be at most 10",
        f"mean interval width is {width:.4g}, {no_baseline.format('mean interval width')}",
    ]
    assert failed(result) == texts[1:]
    assert result["notes"] == []


def test_ungated_intervals_are_noted(of_intervals):
    result, judged, label, evaluation = of_intervals
    values = result["metrics"]["overall"]
    bounds = tuple(dataclasses.replace(part, absolute=None) for part in judged.bounds)
    again = verdict.make(
        evaluation, dataclasses.replace(judged, bounds=bounds), [label], Comparison("17")
    )
    assert again["notes"] == [
        f"80% intervals contain {values['coverage']:.1%} of the test labels; "
        f"their mean width is {values['interval_width']:.4g}"
    ]


RENT = Label("rent/m2", "regression", False, 10.0, 5.0, 2.3, 0.4, 9.0)


def deals() -> list[dict]:
    """Returns sales with further labels (answer, grade and rent) and the predictions of models."""
    rows = []
    for number, (sale, answer) in enumerate(zip(ROWS, answers())):
        grade = number % 3
        scores = np.exp(rng.normal(0, 1, 3) + 2.5 * np.eye(3)[grade])
        rent = float(np.float32(rng.normal(10, 5)))
        rows.append(
            {
                **sale,
                **answer,
                "grade": ("9", "10", "11")[grade],
                "grades": (scores / scores.sum()).astype(np.float32).tolist(),
                "grades_of_none": [0.2, 0.5, 0.3],
                "rent/m2": rent,
                "rent_close": rent + float(rng.normal(0, 1)),
                "rent_closer": rent + float(rng.normal(0, 0.5)),
            }
        )
    return rows


DEALS = deals()
LABELS = (PRICE, ANSWER, GRADE, RENT)
OF_DEALS = {
    "predictions": "close",
    "answer/logistic": "probability",
    "grade/probabilities": "grades",
    "rent/m2/predictions": "rent_close",
}


def criteria_of_deals(*bounds, slices=()) -> Criteria:
    return Criteria({label.name: METRICS[label.task] for label in LABELS}, bounds, slices)


def expected_of_deals(outputs) -> dict[str, float]:
    price = {**expected_regression(DEALS, outputs["predictions"]), "example_count": COUNT}
    y, p = column("answer", DEALS) == "yes", column(outputs["answer/logistic"], DEALS)
    grades = column(outputs["grade/probabilities"], DEALS)
    truth = np.array([GRADE.classes.index(row["grade"]) for row in DEALS])
    rent, predicted = column("rent/m2", DEALS), column(outputs["rent/m2/predictions"], DEALS)
    return {
        **price,
        "answer/accuracy": np.mean((p > 0.5) == y),
        "answer/accuracy_of_constant": np.mean(~y),
        "answer/log_loss": sklearn.metrics.log_loss(y, p),
        "answer/log_loss_of_constant": sklearn.metrics.log_loss(y, np.full(len(y), 0.4)),
        "grade/accuracy": np.mean(grades.argmax(axis=1) == truth),
        "grade/accuracy_of_constant": np.mean(truth == 1),
        "grade/log_loss": -np.mean(np.log(grades[np.arange(COUNT), truth])),
        "grade/log_loss_of_constant": -np.mean(np.log(np.array(GRADE.frequencies)[truth])),
        "rent/m2/rmse": np.sqrt(np.mean((rent - predicted) ** 2)),
        "rent/m2/rmse_of_constant": np.sqrt(np.mean((rent - 10) ** 2)),
        "rent/m2/mae": np.mean(np.abs(rent - predicted)),
        "rent/m2/mae_of_constant": np.mean(np.abs(rent - 9)),
    }


def test_further_labels_are_judged_like_the_first(tmp_path):
    """Some gates pass and others fail; the baseline has the labels in another order."""
    bounds = (
        bound("rmse", 25.0, 0.1),
        bound("answer/auc", 0.8, 0.01),
        bound("answer/skill", 0.3),
        bound("grade/accuracy", 0.1),
        bound("grade/log_loss", 9.0),
        bound("rent/m2/rmse", 2.0, 0.5),
    )
    judged = criteria_of_deals(*bounds, slices=(Slice("side"),))
    candidate = {**OF_DEALS, "grade/probabilities": "grades_of_none"}
    baseline = {**OF_DEALS, "rent/m2/predictions": "rent_closer"}
    others = (PRICE, RENT, GRADE, ANSWER)
    result, blessing = evaluate(tmp_path, DEALS, judged, LABELS, candidate, baseline, others)
    for metrics, outputs in (
        (result["metrics"], candidate),
        (result["baseline_metrics"], baseline),
    ):
        overall, expected = metrics["overall"], expected_of_deals(outputs)
        assert {name: overall[name] for name in expected} == pytest.approx(expected, rel=1e-5)
        y, p = column("answer", DEALS) == "yes", column("probability", DEALS)
        assert overall["answer/auc"] == pytest.approx(sklearn.metrics.roc_auc_score(y, p), abs=1e-3)
        assert set(metrics) == {"overall", "side: left", "side: right"}
        assert set(of_model(metrics["side: left"])) == set(of_model(overall))

    assert not agrees(result, blessing)
    accuracy = (
        "grade accuracy of a constant predictor is 0.3325; the model's is 0.3325, at least 1% "
        "fewer errors are required"
    )
    loss, rent, left, right = (text for text in failed(result) if text != accuracy)
    assert accuracy in failed(result)
    assert loss.startswith("grade log loss of a constant predictor is ")
    assert rent.startswith("rent/m2 RMSE is ") and "it may rise by 50%, to " in rent
    assert left.startswith("rent/m2 RMSE where side is left (266 examples) is ")
    assert right.startswith("rent/m2 RMSE where side is right (134 examples) is ")
    auc = f"{result['metrics']['overall']['answer/auc']:.4g}"
    limit = f"{result['metrics']['overall']['answer/auc'] - 0.01:.4g}"
    change = f", the baseline's is {auc}; it may fall by 0.01, to {limit}"
    for rest in ("; it must be at least 0.8", change):
        line = {"passed": True, "text": f"answer AUC is {auc}{rest}"}
        assert line in result["lines"]


def test_a_baseline_without_a_label_needs_a_decision(tmp_path):
    """The candidate is evaluated alone, with all of its labels, and meets every absolute bound."""
    bounds = (bound("rmse", 25.0, 0.1), bound("grade/accuracy", 0.5), bound("answer/auc", 0.8))
    judged = criteria_of_deals(*bounds)
    better = {**OF_DEALS, "predictions": "price"}
    result, blessing = evaluate(tmp_path, DEALS, judged, LABELS, OF_DEALS, better, LABELS[:-1])
    assert not agrees(result, blessing)
    expected = expected_of_deals(OF_DEALS)
    overall = result["metrics"]["overall"]
    assert {name: overall[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    problem = "does not predict rent/m2 (it predicts price, answer, grade)"
    assert failed(result) == [CANNOT + problem + ASK]
    assert result["baseline_metrics"] is None and result["notes"] == []

    set_aside = Comparison("17", problem, "we let, too")
    result = judged_again(tmp_path, judged, set_aside, LABELS)
    assert is_blessed(result)
    assert result["notes"] == [
        "The deployed model (version 17) was set aside, so only the absolute bounds apply; reason: "
        f"we let, too. It {problem}."
    ]
    assert result["baseline"] == {"version": "17", "problem": problem, "set_aside": "we let, too"}


def adjusted(labels, features, predictions):
    """Returns what the extractor makes of a batch of a single model."""
    extracts = {"features": features, "predictions": predictions}
    return extractors._Adjust(labels, {"": labels}, [])(extracts)


def test_a_label_must_be_in_every_row_even_if_the_schema_calls_it_optional():
    column = types.SparseTensorValue(np.array([3.0, 4.0]), np.array([[0, 0], [1, 0]]), (2, 1))
    extracts = adjusted([PRICE], {"price": column}, {"predictions": np.array([[1.0], [2.0]])})
    assert extracts["labels"]["price"].tolist() == [[3.0], [4.0]]
    assert extracts["predictions"]["price"].tolist() == [[1.0], [2.0]]
    missing = types.SparseTensorValue(np.array([3.0]), np.array([[0, 0]]), (2, 1))
    with pytest.raises(ValueError, match="label price: is missing in a row of the test split"):
        adjusted([PRICE], {"price": missing}, {"predictions": np.array([[1.0], [2.0]])})


def test_a_third_class_of_a_binary_label_is_named():
    answers = np.array([[b"no"], [b"maybe"]])
    with pytest.raises(UserError, match="label answer: found 'maybe' in the test split, expected"):
        adjusted([ANSWER], {"answer": answers}, {"logistic": np.array([[0.1], [0.9]])})
