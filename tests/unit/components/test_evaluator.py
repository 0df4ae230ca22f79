"""The Evaluator's executor on real SavedModels: metrics, gates, slices, and the verdict."""

import dataclasses
import json
import math

import numpy as np
import pytest
import sklearn.metrics
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tiny_model import evaluate

from components.evaluator import executor
from components.evaluator.judgement import Bound, Judgement, Slice
from models import label as label_lib
from models.features import Input
from models.label import Label
from pipeline import gates

rng = np.random.default_rng(0)
COUNT = 400

# The statistics of a training split, which the test split only resembles.
PRICE = Label("price", "regression", True, 200.0, 100.0, 5.1, 0.6, 180.0)
ANSWER = Label("answer", "binary", classes=("no", "yes"), frequencies=(0.6, 0.4))
GRADE = Label("grade", "multiclass", classes=("9", "10", "11"), frequencies=(0.2, 0.5, 0.3))

METRICS = {task: tuple(metrics) for task, metrics in gates.METRICS.items()}
FURTHER = {label.name: label.task for label in (ANSWER, GRADE)}
KNOWN = {
    key: metric
    for task in ("binary", "regression")
    for metrics in gates.of_labels("price", task, 0.9, FURTHER).values()
    for key, metric in metrics.items()
}


def bound(metric, absolute=None, may_worsen_by=None) -> Bound:
    known = KNOWN[metric]
    lower = known.better == gates.LOWER_IS_BETTER
    return Bound(metric, known.title, lower, absolute, may_worsen_by)


def judgement(label, *bounds, slices=()) -> Judgement:
    return Judgement({label.name: METRICS[label.task]}, bounds, slices)


def prices() -> list[dict]:
    """Sales with what several models say of them."""
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
    """Without TFMA's differences to the baseline."""
    return {name: value for name, value in metrics.items() if not name.endswith("_diff")}


def failed(result) -> list[str]:
    return [line["text"] for line in result["lines"] if not line["passed"]]


def agrees(result, blessing) -> bool:
    """The blessing, the verdict and its sentences say the same."""
    blessed = blessing.get_int_custom_property("blessed") == 1
    assert result["blessed"] == blessed
    assert blessed == all(line["passed"] for line in result["lines"])
    return blessed


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A good model without a baseline."""
    slices = (
        Slice("area"),
        Slice("price", (100.0, 200.5)),
        Slice("size", (10.0,), gated=False),
    )
    bounds = (bound("rmse", 25.0, 0.1), bound("skill", 0.5))
    return evaluate(
        tmp_path_factory.mktemp("alone"),
        ROWS,
        judgement(PRICE, *bounds, slices=slices),
        PRICE,
        "close",
    )


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


def test_a_good_model_alone_is_blessed_in_sentences(alone):
    result, blessing = alone
    assert agrees(result, blessing)
    metrics = result["metrics"]["overall"]
    texts = [line["text"] for line in result["lines"]]
    assert f"RMSE is {metrics['rmse']:.4g}; it must be at most 25" in texts
    assert f"skill is {metrics['skill']:.4g}; it must be at least 0.5" in texts
    assert any(text.startswith("RMSE of a constant predictor is ") for text in texts)
    assert result["notes"] == ["Nothing else was blessed before: only the absolute bounds apply."]


def test_a_model_no_better_than_a_constant_is_refused_whatever_the_bound(tmp_path):
    judged = judgement(PRICE, LOOSE, bound("skill", -5.0))
    result, blessing = evaluate(tmp_path, ROWS, judged, PRICE, "mean_with_noise")
    assert result["metrics"]["overall"]["rmse_gain"] < 0
    assert not agrees(result, blessing)
    assert any("the model is not better than that" in text for text in failed(result))


def test_a_bound_that_only_compares_still_asks_to_beat_a_constant(tmp_path):
    """What TFMA refuses, a sentence says."""
    judged = judgement(PRICE, LOOSE, bound("skill", None, 0.1))
    result, blessing = evaluate(tmp_path, ROWS, judged, PRICE, "mean_with_noise")
    assert not agrees(result, blessing)
    assert any(text.startswith("skill") for text in failed(result))


def test_a_prediction_that_is_no_number_is_refused(tmp_path):
    judged = judgement(PRICE, LOOSE, bound("skill", 0.1))
    result, blessing = evaluate(tmp_path, ROWS, judged, PRICE, "no_number")
    assert result["metrics"]["overall"]["rmse"] is None
    assert not agrees(result, blessing)


@pytest.mark.parametrize("gated", [True, False])
def test_a_gated_slice_must_not_fall_behind_the_baseline(tmp_path, gated):
    """Worse in the north, better elsewhere; overall the bound is wide enough."""
    bounds = (bound("rmse", 100.0, 0.9), bound("mae", None, 0.9))
    judged = judgement(PRICE, *bounds, slices=(Slice("area", gated=gated),))
    result, blessing = evaluate(tmp_path, ROWS, judged, PRICE, "worse_in_north", "close")
    assert agrees(result, blessing) is not gated
    assert result["baseline_metrics"]["overall"] == pytest.approx(
        expected_regression(ROWS, "close"), rel=1e-5
    )
    assert of_model(result["metrics"]["area: north"]) == pytest.approx(
        expected_regression([r for r in ROWS if r["area"] == "north"], "worse_in_north"), rel=1e-5
    )
    lines = failed(result)
    assert [text.split(" is ")[0] for text in lines] == ["RMSE where area", "MAE where area"] * (
        gated
    )
    assert all("north" in text and "(+200.0%); it may rise by 90.0%" in text for text in lines)
    assert result["notes"] == []


def test_falling_behind_the_baseline_overall_is_refused(tmp_path):
    judged = judgement(PRICE, bound("rmse", 100.0, 0.1))
    result, blessing = evaluate(tmp_path, ROWS, judged, PRICE, "worse_in_north", "close")
    assert not agrees(result, blessing)
    [text] = failed(result)
    assert text.startswith("RMSE is ") and "it may rise by 10.0%" in text


def test_a_baseline_of_another_label_is_not_compared(tmp_path):
    judged = judgement(PRICE, bound("rmse", 100.0, 0.1))
    other = Label("rent", "regression", True, 200.0, 100.0, 5.1, 0.6, 180.0)
    result, blessing = evaluate(tmp_path, ROWS, judged, PRICE, "worse_in_north", "close", other)
    assert agrees(result, blessing)
    assert result["baseline_metrics"] is None
    assert any("does not predict price" in note for note in result["notes"])


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
    judged = judgement(ANSWER, *bounds, slices=(Slice("side"),))
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


def test_a_third_class_of_a_binary_label_is_named(tmp_path):
    rows = answers()
    rows[3]["answer"] = "maybe"
    with pytest.raises(Exception, match="label answer: found 'maybe' in the test split, expected"):
        evaluate(tmp_path, rows, judgement(ANSWER, bound("auc", 0.8)), ANSWER, "probability")


def test_multiclass_metrics_with_a_class_that_training_never_saw(tmp_path):
    """Int labels; a row of an unknown class is a miss at the price of the smallest probability."""
    names = [9, 10, 11, 12]
    truth = rng.choice(4, COUNT, p=[0.2, 0.4, 0.3, 0.1])
    logits = rng.normal(0, 1, (COUNT, 3)) + 2.5 * np.eye(4)[truth][:, :3]
    probabilities = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
    rows = [
        {"grade": names[t], "p": p.tolist(), "side": "left"} for t, p in zip(truth, probabilities)
    ]
    bounds = (bound("accuracy", 0.5), bound("skill", -9.0))
    result, blessing = evaluate(tmp_path, rows, judgement(GRADE, *bounds), GRADE, "p")
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


REQUIRED = "presence { min_fraction: 1 } shape { dim { size: 1 } }"
SCHEMA = f"""
feature {{ name: "area" type: FLOAT {REQUIRED} }}
feature {{ name: "age" type: INT }}
feature {{ name: "window" type: FLOAT value_count {{ min: 1 }} }}
feature {{ name: "counts" type: INT {REQUIRED.replace("size: 1", "size: 3")} }}
"""


@pytest.mark.parametrize(
    ("column", "compared"),
    [
        (Input("area", "numbers", False), True),
        (Input("area", "numbers", True), True),
        (Input("area", "whole numbers", False), False),
        (Input("gone", "numbers", True), False),
        (Input("age", "whole numbers", True), True),
        (Input("age", "whole numbers", False), False),
        (Input("window", "numbers", True, sequence=True), True),
        (Input("window", "numbers", True), False),
        (Input("counts", "whole numbers", False, sequence=True, length=3), True),
        (Input("counts", "whole numbers", False, sequence=True, length=2), False),
        (Input("counts", "whole numbers", True, sequence=True), True),
        (Input("counts", "whole numbers", False), False),
    ],
)
def test_a_baseline_is_compared_if_it_can_read_the_table(tmp_path, column, compared):
    extra = tmp_path / "assets.extra"
    extra.mkdir()
    (extra / "label.json").write_text(label_lib.to_json([PRICE]))
    content = {"inputs": [dataclasses.asdict(column)], "columns": [column.name]}
    (extra / "features.json").write_text(json.dumps(content))
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
    note = executor._why_not_comparable([PRICE], str(tmp_path), schema)
    start = f"The last blessed model needs the column {column.name} as it was: no comparison"
    assert note.startswith(start) if not compared else not note


def test_a_baseline_that_was_exported_in_an_earlier_form_is_not_compared(tmp_path):
    extra = tmp_path / "assets.extra"
    extra.mkdir()
    (extra / "label.json").write_text(json.dumps(dataclasses.asdict(PRICE)))
    (extra / "features.json").write_text('{"features": [], "columns": []}')
    note = executor._why_not_comparable([PRICE], str(tmp_path), schema_pb2.Schema())
    assert note.startswith("The last blessed model was exported in an earlier form: no comparison")
