"""Tests of the checks of predictions, by row and label, and of their counts over batches."""

import numpy as np
import pytest

from components.evaluator import row_checks
from components.evaluator.row_checks import Finding
from models.features.label import Label

PRICE = Label("price", "regression", mean=200.0, deviation=40.0)
ANSWER = Label("answer", "binary", classes=("no", "yes"), frequencies=(0.6, 0.4))
GRADE = Label("grade", "multiclass", classes=("9", "10", "11"), frequencies=(0.2, 0.5, 0.3))

P = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.25, 0.25, 0.5]], np.float32)
LIKELY = np.array([[b"9"], [b"10"], [b"11"]], dtype=object)
YES = np.array([[0.1], [0.6], [0.9]], np.float32)
BOTH = np.concatenate([1 - YES, YES], axis=1)
NAMES = np.array([[b"no"], [b"yes"], [b"yes"]], dtype=object)
VALUES = np.array([[1.0], [2.0], [3.0]], np.float32)


def check(label, rows=3, **outputs):
    return row_checks.check(outputs, [label], rows, lambda row: f"row is {row}")


def findings(label, **outputs) -> list[str]:
    """Returns the findings as sentences."""
    return [finding.sentence(3) for finding in check(label, **outputs)[1]]


def put(array, row, value):
    changed = array.copy()
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("label", "outputs"),
    [
        (PRICE, {"predictions": VALUES}),
        (PRICE, {"predictions": VALUES, "lower": VALUES - 1, "upper": VALUES}),
        (PRICE, {"predictions": VALUES.astype(np.int64)}),
        (ANSWER, {"logistic": YES}),
        (ANSWER, {"logistic": YES, "probabilities": BOTH, "classes": NAMES}),
        (ANSWER, {"logistic": YES, "class_ids": np.array([[0], [1], [1]])}),
        (ANSWER, {"logistic": np.full((3, 1), 0.5), "classes": NAMES}),
        (GRADE, {"probabilities": P}),
        (GRADE, {"probabilities": P, "classes": LIKELY, "class_ids": np.array([[0], [1], [2]])}),
        (GRADE, {"probabilities": P, "classes": np.array([[9], [10], [11]])}),
        (GRADE, {"probabilities": P, "embedding": np.full((1, 7), np.nan)}),
    ],
)
def test_plausible_outputs_are_scored_unchanged(label, outputs):
    scored, found = check(label, **outputs)
    assert found == []
    for name, values in scored.items():
        np.testing.assert_array_equal(values, outputs[name])


@pytest.mark.parametrize(
    ("label", "outputs", "expected"),
    [
        (
            PRICE,
            {"predictions": put(VALUES, 1, np.nan)},
            "predictions is not a finite number in 1 of 3 rows: nan where row is 1",
        ),
        (
            PRICE,
            {"predictions": put(VALUES, slice(1, 3), -np.inf)},
            "predictions is not a finite number in 2 of 3 rows: -inf where row is 1",
        ),
        (
            PRICE,
            {"predictions": VALUES[:1]},
            "predictions is not of the shape [rows, 1] in 3 of 3 rows: its shape is [1, 1] for 3 "
            "rows",
        ),
        (
            PRICE,
            {"predictions": VALUES[:, 0]},
            "predictions is not of the shape [rows, 1] in 3 of 3 rows: its shape is [3] for 3 rows",
        ),
        (
            PRICE,
            {"predictions": np.concatenate([VALUES, VALUES])},
            "predictions is not of the shape [rows, 1] in 3 of 3 rows: its shape is [6, 1] for 3 "
            "rows",
        ),
        (
            PRICE,
            {"predictions": VALUES.astype(str).astype(object)},
            "predictions is not a number in 3 of 3 rows: it is object",
        ),
        (
            PRICE,
            {"value": VALUES},
            "predictions is not an output of the signature predict in 3 of 3 rows: it has value",
        ),
        (
            PRICE,
            {"predictions": VALUES, "lower": put(VALUES - 1, 2, 3.5), "upper": VALUES + 1},
            "lower, predictions and upper are not in ascending order in 1 of 3 rows: 3.5 and 3 "
            "and 4 where row is 2",
        ),
        (
            PRICE,
            {"predictions": VALUES, "lower": VALUES + 1, "upper": VALUES - 1},
            "lower, predictions and upper are not in ascending order in 3 of 3 rows: 2 and 1 and 0 "
            "where row is 0",
        ),
        (
            ANSWER,
            {"logistic": put(YES, 0, 1.5)},
            "logistic is not from 0 to 1 in 1 of 3 rows: 1.5 where row is 0",
        ),
        (
            ANSWER,
            {"logistic": YES, "probabilities": BOTH[:, ::-1]},
            "logistic is not the probability of yes in 3 of 3 rows: 0.1 and [0.1, 0.9] where row "
            "is 0",
        ),
        (
            ANSWER,
            {"logistic": YES, "classes": NAMES[::-1]},
            "classes is not the likeliest class in 2 of 3 rows: 'yes' and [0.9, 0.1] where row is "
            "0",
        ),
        (
            ANSWER,
            {"logistic": YES, "classes": np.array([[b"0"], [b"1"], [b"1"]], dtype=object)},
            "classes is none of no, yes in 3 of 3 rows: '0' where row is 0",
        ),
        (
            GRADE,
            {"probabilities": put(P, 1, np.nan)},
            "probabilities is not a finite number in 1 of 3 rows: [nan, nan, nan] where row is 1",
        ),
        (
            GRADE,
            {"probabilities": P * 1e6},
            "probabilities is not from 0 to 1 in 3 of 3 rows: [700000, 200000, 100000] where row "
            "is 0",
        ),
        (
            GRADE,
            {"probabilities": P / 2},
            "probabilities do not sum to 1 in 3 of 3 rows: [0.35, 0.1, 0.05] where row is 0",
        ),
        (
            GRADE,
            {"probabilities": P[:, :2]},
            "probabilities is not of the shape [rows, 3] in 3 of 3 rows: its shape is [3, 2] for 3 "
            "rows",
        ),
        (
            GRADE,
            {"probabilities": P, "classes": LIKELY[::-1]},
            "classes is not the likeliest class in 2 of 3 rows: '11' and [0.7, 0.2, 0.1] where row "
            "is 0",
        ),
        (
            GRADE,
            {"probabilities": P, "classes": put(LIKELY, 1, b"\xff")},
            "classes is none of 9, 10, 11 in 1 of 3 rows: '\ufffd' where row is 1",
        ),
        (
            GRADE,
            {"probabilities": P, "class_ids": np.array([[0], [1], [3]])},
            "class_ids is none of 0, 1, 2 in 1 of 3 rows: '3' where row is 2",
        ),
        (
            GRADE,
            {"probabilities": P, "classes": LIKELY[:, 0]},
            "classes is not of the shape [rows, 1] in 3 of 3 rows: its shape is [3] for 3 rows",
        ),
    ],
)
def test_implausible_outputs_are_reported_with_a_count_and_an_example(label, outputs, expected):
    found = [text.replace("0.69999999", "0.7") for text in findings(label, **rounded(outputs))]
    assert found == [expected]


def rounded(outputs):
    """Returns outputs whose numbers print as they are written above."""
    return {
        name: values.astype(np.float64).round(6) if values.dtype == np.float32 else values
        for name, values in outputs.items()
    }


def test_implausible_rows_are_scored_as_nan():
    scored, _ = check(GRADE, probabilities=put(P, 1, np.nan))
    assert np.isnan(scored["probabilities"][1]).all()
    np.testing.assert_array_equal(scored["probabilities"][[0, 2]], P[[0, 2]])
    scored, _ = check(ANSWER, logistic=YES[:1])
    assert scored["logistic"].shape == (3, 1) and np.isnan(scored["logistic"]).all()


def test_outputs_of_a_further_label_are_checked_under_its_prefix():
    outputs = {"predictions": VALUES, "grade/probabilities": P, "grade/classes": LIKELY[::-1]}
    scored, (found,) = row_checks.check(outputs, [PRICE, GRADE], 3, str)
    assert found.what == "grade/classes is not the likeliest class"
    assert list(scored) == ["predictions", "grade/probabilities"]


def test_findings_of_batches_are_merged():
    found = [Finding("b", 2, "y"), Finding("a", 3, "z"), Finding("b", 5, "x")]
    expected = [Finding("a", 3, "z"), Finding("b", 7, "x")]
    assert row_checks.merged(found) == row_checks.merged(reversed(found)) == expected
