"""Tests of the rules that a table must pass before a run, and of the report on it."""

import math
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import yaml
from rich.console import Console

from models.errors import UserError
from models.features import text_values
from pipeline.config import config_file
from pipeline.console import messages
from pipeline.preflight import (
    data_check,
    feature_rules,
    label_rules,
    split_counts,
    table_report,
    table_rules,
)

ROWS = 60


@pytest.fixture
def table(tmp_path):
    """Returns a function that configures a table of 60 rows, with columns replaced or added."""

    def make(settings=None, /, *, suffix="csv", **columns):
        own: dict[str, Any] = {
            "size": [number % 17 + 0.5 for number in range(ROWS)],
            "town": ["Cedar", "Birch", "Oak"] * (ROWS // 3),
            "cost": [number * 3 % 23 + 0.25 for number in range(ROWS)],
        }
        own |= columns
        path = tmp_path / f"t.{suffix}"
        if suffix == "csv":
            rows = [",".join(own), *(",".join(map(str, row)) for row in zip(*own.values()))]
            path.write_text("\n".join(rows) + "\n")
        else:
            pa.parquet.write_table(pa.table(own), path)
        content = {
            "task": "regression",
            "label": "cost",
            "data": path.name,
            **(settings or {}),
        }
        gate = {"regression": {"rmse": {"at_most": 9}}}.get(
            content["task"], {"accuracy": {"at_least": 0.1}}
        )
        (tmp_path / "pipeline.yaml").write_text(yaml.safe_dump({"gates": gate, **content}))
        return config_file.load(tmp_path / "pipeline.yaml")

    return make


@pytest.fixture(autouse=True)
def few_rows(monkeypatch):
    """Keeps the splits of 60 rows from being reported as small; returns the usual bound."""
    usual = table_report.FEW_ROWS
    monkeypatch.setattr(table_report, "FEW_ROWS", 1)
    return usual


@pytest.fixture
def refusal(table, tmp_path):
    def call(*arguments, **columns):
        with pytest.raises(UserError) as caught:
            data_check.check_data(table(*arguments, **columns))
        return str(caught.value).replace(f"{tmp_path}/", "")

    return call


@pytest.fixture
def report(table):
    def call(*arguments, **columns):
        found = data_check.check_data(table(*arguments, **columns))
        assert found is not None
        return found

    return call


@pytest.fixture
def notes(report, tmp_path):
    def call(*arguments, **columns):
        return [note.replace(f"{tmp_path}/", "") for note in report(*arguments, **columns).notes]

    return call


def some(value, odd, *rows):
    """Returns 60 values, of which those at `rows` are the odd one."""
    return [odd if number in rows else value(number) for number in range(ROWS)]


def test_every_rule_is_checked():
    rules = {
        function
        for module in (feature_rules, label_rules)
        for name, function in vars(module).items()
        if getattr(function, "__module__", "") == module.__name__ and not name.startswith("_")
    }
    assert rules <= set(table_rules.RULES)


def test_a_clean_table_has_no_notes(report, capsys):
    found = report({"features": {"town": "categorical"}, "splits": {"eval": 3, "test": 4}})
    assert found.notes == ()
    assert [(column.name, column.role) for column in found.columns] == [
        ("size", "numeric"),
        ("town", "categorical"),
        ("cost", "label (regression)"),
    ]
    messages.show_table(Console(), found)
    assert capsys.readouterr().out == ""


def test_numbers_with_a_few_words_are_reported(report, tmp_path, capsys):
    found = report({"splits": {"eval": 3, "test": 4}}, size=some(lambda n: n + 0.5, "NA", 15, 20))
    location = f"{tmp_path}/t.csv:17"
    assert found.notes == (
        "size: read as text because 2 of 60 values are not numbers, for example 'NA' "
        f"({location}); to read them as missing, set data: {{missing: [NA]}}",
    )
    assert found.columns[0].odd == f"'NA' ({location})"
    messages.show_table(Console(width=200), found)
    shown = capsys.readouterr().out
    assert "categorical" in shown
    assert f"note  {found.notes[0]}" in shown


@pytest.mark.parametrize(
    ("form", "first"),
    [
        ("${}.50", "$0.50"),
        ("{} %", "0 %"),
        ("€ {}", "€ 0"),
        ("{}'000", "0'000"),
        ("{} 500.25", "0 500.25"),
        ('"{},5"', "0,5"),
    ],
)
def test_numbers_that_are_written_as_text_are_reported(notes, form, first):
    settings = {"splits": {"eval": 3, "test": 4}}
    values = [form.format(number % 17) for number in range(ROWS)]
    (note,) = notes(settings, size=values)
    assert note == (
        f"size: read as text because its numbers are written like {first!r} (t.csv:2); write them "
        "like 1234 or 12.5 for a column of numbers, or set features.size: categorical"
    )
    assert notes({**settings, "features": {"size": "categorical"}}, size=values) == []


@pytest.mark.parametrize(
    "form", ["01.{:02}.2018", "12:{:02}", "A{}", "{}b", "192.168.1.{}", "{}-20"]
)
def test_other_text_is_text(notes, form):
    values = [form.format(number % 17) for number in range(ROWS)]
    assert notes({"splits": {"eval": 3, "test": 4}}, size=values) == []


def test_text_not_counted_to_the_end_is_not_reported_as_numbers(notes):
    rows = 12_000  # several megabytes; the first of them show that `town` is text
    columns = {"size": range(rows), "town": ["x" * 1000] * rows, "cost": range(rows)}
    assert notes(**columns) == []


def test_configured_categories_are_not_reported(notes):
    codes = some(lambda n: n % 5, "X1", 3)
    splits = {"eval": 3, "test": 4}
    assert notes({"features": {"size": "categorical"}, "splits": splits}, size=codes) == []
    assert notes({"features": {"size": "ignore"}, "splits": splits}, size=codes) == []


@pytest.mark.parametrize(("word", "shown"), [("NA", "NA"), ("?", "'?'"), ("null", "'null'")])
def test_a_numeric_column_that_holds_words(refusal, word, shown):
    line = refusal({"features": {"size": "numeric"}}, size=some(lambda n: n, word, 15))
    assert line == (
        f"t.csv:17: size: found {word!r}, expected a number because of features.size: numeric; "
        f"to read it as missing, set data: {{missing: [{shown}]}}"
    )


@pytest.mark.parametrize("pair", ["on off", "ON Off", "yes no", "y n", "T F", "true false", "1 0"])
def test_spellings_of_booleans(notes, pair):
    column = [pair.split()[number % 2] for number in range(ROWS)]
    settings = {"features": {"size": "boolean"}, "splits": {"eval": 3, "test": 4}}
    assert notes(settings, size=column) == []


def test_values_that_are_not_booleans(refusal, notes):
    settings = {"features": {"size": "boolean"}, "splits": {"eval": 3, "test": 4}}
    line = refusal(settings, size=["ja", "nein"] * 30)
    assert line.startswith("t.csv:2: size: found 'ja', and no value is a boolean; expected true/f")
    (note,) = notes(settings, size=some(lambda n: "on", "broken", 4, 5))
    assert note == (
        "size: 2 of 60 values are not true/false, yes/no, on/off, t/f, y/n or 1/0, and count as "
        "missing, for example 'broken' (t.csv:6)"
    )
    (note,) = notes(settings, size=some(lambda n: n % 2, 2, 7))
    assert note.endswith("and counts as true, for example '2' (t.csv:9)")


@pytest.mark.parametrize(
    "form", ["2018-1-{}", "201801{:02}", "2018/01/{:02}", "2018-01-{:02} 8:30"]
)
def test_dates_that_are_read(notes, form):
    dates = [form.format(number % 28 + 1) for number in range(ROWS)]
    settings = {"features": {"size": "date"}, "splits": {"eval": 3, "test": 4}}
    assert notes(settings, size=dates) == []


def test_values_that_are_not_dates(refusal, notes):
    settings = {"features": {"size": "date"}, "splits": {"eval": 3, "test": 4}}
    line = refusal(settings, size=[f"{number % 28 + 1}.01.2018" for number in range(ROWS)])
    assert line == (
        "t.csv:2: size: found '1.01.2018', and no value is a date; expected year, month and day, "
        "such as 2014-10-13, 2014/1/5 or 20141013; convert the column, or change features.size"
    )
    line = refusal(settings, size=[1.6e9 + number for number in range(ROWS)])
    assert "no value is a date" in line
    (note,) = notes(settings, size=some(lambda n: f"2018-1-{n % 28 + 1}", "soon", 3))
    assert note == (
        "size: 1 of 60 values is not a date, and counts as missing, for example 'soon' (t.csv:5)"
    )


def ordinal(*order):
    feature = {"kind": "ordinal", "order": list(order)}
    return {"features": {"size": feature}, "splits": {"eval": 3, "test": 4}}


def test_ordinals(refusal, notes):
    grades = ["low", "mid", "high"] * 20
    assert notes(ordinal("low", "mid", "high"), size=grades) == []
    assert notes(ordinal(1, 2, 3), size=["1", "02", "+3"] * 20) == []
    line = refusal(ordinal("Low", "Mid", "High"), size=grades)
    assert line == (
        "t.csv:2: size: found 'low', but the order has 'Low'; spell the values of the order as in "
        "the table"
    )
    line = refusal(ordinal("bad", "good"), size=grades)
    assert line.startswith("t.csv:2: size: found 'low', and no value is in the order of features.s")
    (note,) = notes(ordinal("low", "mid"), size=grades)
    assert note.startswith("size: 20 of 60 values are not in the order, and count as missing, for ")


@pytest.mark.parametrize(
    ("values", "start"),
    [
        ([5.0] * ROWS, "label cost: is 5 in every row; there is nothing to learn"),
        (
            [1.6e9 + number for number in range(ROWS)],
            "label cost: varies too little for 32-bit floats, which keep 7 digits: from 1600000000 "
            "to 1600000059; subtract a constant, such as 1600000000, from the column",
        ),
        (some(lambda n: n, 1e38, 9), "t.csv:11: cost: found 1e+38, which is too large for a label"),
        (some(lambda n: n, -1e39, 9), "t.csv:11: cost: found -1e+39, which is too large for a l"),
    ],
)
def test_labels_that_cannot_be_learned(refusal, values, start):
    assert refusal(cost=values).startswith(start)
    further = {"more_labels": {"other": {"task": "regression"}}}
    line = refusal(further, other=values)
    assert line.startswith(start.replace("cost", "other"))


def test_a_label_that_is_rounded_is_reported(notes):
    values = [1.6e9 + 1e4 * number for number in range(ROWS)]
    (note,) = notes({"splits": {"eval": 3, "test": 4}}, cost=values)
    assert note.startswith(
        "cost: 32-bit floats round the label to steps of about 1.9e+02; subtract"
    )


def test_reader_decisions_are_reported_for_features_only(notes):
    splits = {"eval": 3, "test": 4}
    values = [1.6e9 + 0.5 * number for number in range(ROWS)]
    (note,) = notes({"splits": splits}, size=values)
    assert note.startswith("column size holds numbers beyond 16,777,216 and fractions")
    assert notes({"splits": splits, "features": {"size": "ignore"}}, size=values) == []


def test_logarithms_of_negative_labels(refusal):
    values = some(lambda n: n, -3, 9)
    assert refusal({"log_label": True}, cost=values) == (
        "t.csv:11: cost: found -3; log_label: true needs labels of at least 0: fix the value, or "
        "remove log_label"
    )


CLASSES = {"task": "multiclass", "splits": {"eval": 3, "test": 4}}


@pytest.mark.parametrize(
    "classes",
    [["0.5", "1.0", "4.5"], ["0.0", "1.0"], ["007", "8"], ["two words", "a "], ["1", "x"]],
)
def test_classes_pass(notes, classes):
    assert notes(CLASSES, cost=(classes * ROWS)[:ROWS]) == []


def test_unusable_classes(refusal, notes):
    def halves(number):
        return number % 9 / 2

    for word in ("nan", "NA", "inf", "?"):
        assert refusal(CLASSES, cost=some(halves, word, 3)) == (
            f"t.csv:5: cost: found {word!r} among classes that are numbers; remove the row or fill "
            "it in"
        )
    line = refusal(CLASSES, cost=some(lambda n: n % 3, "1.0", 9))
    assert line == (
        "t.csv:11: cost: found '1.0', which is the same number as '1' (t.csv:3); write each "
        "class in one way"
    )
    assert refusal(CLASSES, cost=["a"] * ROWS) == (
        "label cost: is 'a' in every row; there is nothing to learn"
    )
    line = refusal({**CLASSES, "task": "binary"}, cost=["yes", "no", "maybe"] * 20)
    assert line == (
        "label cost: found 3 classes ('maybe', 'no', 'yes'), expected 2 for task binary; the third "
        "is 'maybe' (t.csv:4): fix the table or set task: multiclass"
    )
    line = refusal({**CLASSES, "class_weights": {"c": 2.0}}, cost=["a", "b"] * 30)
    assert line == "class_weights: label cost has no class 'c'; it has a, b"
    (note,) = notes(CLASSES, cost=["NA", "x", "y"] * 20)
    assert note.startswith("cost: 'NA' (t.csv:2) is a class of 20 rows; remove them if it means")
    (note,) = notes(CLASSES, cost=["x", "x ", "y"] * 20)
    assert note.startswith("cost: 'x ' (t.csv:3) and 'x' are two classes that differ only by spac")


@pytest.mark.parametrize(("value", "shown"), [(1e38, "1e+38"), (-2e38, "-2e+38"), (1e39, "1e+39")])
def test_numbers_near_the_limit_of_floats(refusal, notes, value, shown):
    assert refusal(size=some(lambda n: n, value, 9)) == (
        f"t.csv:11: size: found {shown}, which is too close to the limit of 32-bit floats, 3.4e38; "
        "expected numbers below 1e+37: fix the value, or divide the column by a constant"
    )
    settings = {"features": {"size": "ignore"}, "splits": {"eval": 3, "test": 4}}
    assert notes(settings, size=some(lambda n: n, value, 9)) == []


@pytest.mark.parametrize("word", ["NA", "nan", "?", "null"])
def test_a_label_with_a_word_for_missing(refusal, word):
    assert refusal(cost=some(lambda n: n, word, 4)) == (
        f"t.csv:6: cost: found {word!r}, expected a number; remove the row or fill it in"
    )


def test_nothing_to_learn_from(refusal, notes):
    ignored = {"features": {"size": "ignore", "town": "ignore"}}
    assert refusal(ignored).startswith("no column is left to learn from")
    line = refusal({"features": {"town": "ignore"}}, size=[""] * ROWS)
    assert line.startswith("no column is left to learn from")
    (note,) = notes({"splits": {"eval": 3, "test": 4}}, size=[""] * ROWS)
    assert note == "size: is empty in every row, so the model does not see it"


def test_features_that_the_schema_cannot_provide(refusal):
    line = refusal({"derived": {"twice": "town * 2"}})
    assert line.startswith("derived.twice: town is categorical; expected a numeric, ordinal, bool")
    line = refusal({"features": {"size": "categorical"}})
    assert line.startswith("column size: cannot be categorical: it holds fractional numbers")


def test_a_word_where_the_schema_wants_a_number(refusal, notes, tmp_path):
    schema = "".join(
        f'feature {{ name: "{name}" type: {kind} }}\n'
        for name, kind in (("size", "INT"), ("town", "BYTES"), ("cost", "FLOAT"))
    )
    (tmp_path / "schema.pbtxt").write_text(schema)
    data = {"path": "t.csv", "schema": "schema.pbtxt"}
    values = some(lambda n: n, "unknown", 6)
    assert refusal({"data": data}, size=values) == (
        "t.csv:8: size: found 'unknown', expected a whole number; fix the row, or set "
        "data.on_bad_rows: quarantine to leave it out"
    )
    quarantine = {"data": {**data, "on_bad_rows": "quarantine"}, "splits": {"eval": 3, "test": 4}}
    assert notes(quarantine, size=values) == []


def test_weights_of_zero(refusal):
    assert refusal({"weight": "size"}, size=[0] * ROWS) == (
        "weight: size is zero in every row; there is nothing to learn"
    )


class TestParquet:
    SETTINGS = {"splits": {"eval": 3, "test": 4}}

    def test_rows_are_named(self, refusal, notes):
        found = refusal(suffix="parquet", cost=some(lambda n: float(n), 1e38, 9))
        assert found.startswith("t.parquet: row 10: cost: found 1e+38, which is too large")
        settings = {**self.SETTINGS, "features": {"size": "date"}}
        dates = some(lambda n: f"2018-1-{n % 28 + 1}", "soon", 3)
        (note,) = notes(settings, suffix="parquet", size=dates)
        assert note.endswith("for example 'soon' (t.parquet: row 4)")

    def test_numbers_that_are_not_finite_are_reported(self, notes):
        column = some(lambda n: float(n), math.inf, 3, 4)
        (note,) = notes(self.SETTINGS, suffix="parquet", size=column)
        assert note == "size: 2 of 60 values are infinite, and count as missing"

    def test_classes(self, notes, refusal):
        settings = {**self.SETTINGS, "task": "multiclass"}
        halves = [number // 30 / 2 for number in range(ROWS)]
        assert notes(settings, suffix="parquet", cost=halves) == []
        found = refusal(settings, suffix="parquet", cost=[*halves[:-1], math.nan])
        assert found.startswith("t.parquet: row 60: cost: ")


class TestSplits:
    def test_an_empty_split(self, refusal):
        line = refusal({"splits": {"train": 998, "eval": 1, "test": 1}})
        assert line == (
            "splits: the eval split gets none of the 60 rows (train 60, eval 0, test 0); the hash "
            "of each row decides: add rows, or raise splits.eval"
        )

    def test_a_key_of_few_values(self, refusal, monkeypatch):
        """Counts by value are used for a long table."""
        monkeypatch.setattr(split_counts, "MOST_ROWS", 10)
        line = refusal({"splits": {"key": "town"}})
        assert "gets none of the 60 rows" in line
        assert "the hash of each value of town decides" in line

    def test_a_small_split_is_reported(self, notes, monkeypatch, few_rows):
        monkeypatch.setattr(table_report, "FEW_ROWS", few_rows)
        found = notes()
        assert [note.split(" of ")[0] for note in found] == ["the eval split has 9"]

    def test_a_label_that_is_constant_in_the_train_split(self, refusal, monkeypatch, table):
        config = table(CLASSES, cost=some(lambda n: "a", "b", 3))
        monkeypatch.setattr(split_counts.Splits, "of_rows", lambda self, *_: to_splits())
        with pytest.raises(UserError, match="label cost: is 'a' in every row of the train split"):
            data_check.check_data(config)

    @pytest.mark.parametrize(
        ("feature", "value", "odd", "what"),
        [
            ("date", "soon", "2018-01-05", "no value is a date"),
            ("boolean", "maybe", "yes", f"no value is {text_values.TRUTHS}"),
            (
                {"kind": "ordinal", "order": ["low", "high"]},
                "top",
                "low",
                "no value is in the order",
            ),
            ({"kind": "ordinal", "order": [1, 2]}, 7, 1, "no value is in the order"),
        ],
    )
    def test_a_feature_without_a_value_in_the_train_split(
        self, notes, monkeypatch, feature, value, odd, what
    ):
        monkeypatch.setattr(split_counts.Splits, "of_rows", lambda self, *_: to_splits())
        expected = f"column size: {what} in the train split, so it is left out"
        settings = {"features": {"size": feature}}
        assert expected in notes(settings, size=some(lambda n: value, odd, 2))
        assert expected not in notes(settings, size=some(lambda n: value, odd, 2, 5))

    @pytest.mark.parametrize("expression", ["sqrt(0 - size)", "log1p(0 - size * 2)", "1 / (x - x)"])
    def test_an_expression_without_a_value(self, notes, expression):
        note = "column d: its expression has no value in the train split, so it is left out"
        x = list(range(ROWS))
        assert note in notes({"derived": {"d": expression}}, x=x, size=[n + 1 for n in x])
        assert note not in notes({"derived": {"d": "x + size"}}, x=x)

    def test_a_column_empty_everywhere_gets_one_note(self, notes):
        settings = {"features": {"size": "date"}, "splits": {"eval": 3, "test": 4}}
        assert notes(settings, size=[""] * ROWS) == [
            "size: is empty in every row, so the model does not see it"
        ]

    def test_classes_that_a_split_lacks(self, notes, monkeypatch):
        monkeypatch.setattr(split_counts.Splits, "of_rows", lambda self, *_: to_splits())
        classes = ["a", "b"] * (ROWS // 2)
        classes[2] = "rare"
        assert notes(CLASSES, cost=classes) == [
            "label cost: class 'rare' is not in the train split, so the model cannot learn it",
            "label cost: classes 'a', 'b' are not in the eval split, so checkpoints are chosen "
            "without them",
            "label cost: class 'rare' is not in the test split, so the model is judged without it",
        ]


def test_bytes_that_are_not_text(refusal):
    assert refusal(suffix="parquet", x=some(lambda n: b"ok", b"\xff\xfe", 4)) == (
        "data.path: t.parquet: x: found bytes that are not UTF-8 text; write the column as text, "
        "or leave it out of the file"
    )


@pytest.mark.parametrize(
    "odd", ["(3.50)", "3.5-", "\u22123.5", "1.5D+02", "\u00a03", "1\u202f234", "7 %"]
)
def test_formatted_numbers_are_not_reported_as_missing(notes, odd):
    (note,) = notes({"splits": {"eval": 3, "test": 4}}, size=some(lambda n: n, odd, 4, 9))
    assert note.startswith(
        f"size: read as text because its numbers are written like {odd!r} (t.csv:6)"
    )


def to_splits():
    """Assigns all rows but three to the train split."""
    return pa.array([1 if n == 2 else 2 if n in (3, 4) else 0 for n in range(ROWS)]).to_numpy()
