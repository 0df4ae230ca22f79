"""Tests of scoring tables with exported models whose predictions are known."""

import csv
import dataclasses
import datetime
import gzip
import json
import pathlib
import shutil
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import tensorflow as tf
from etils import epath

from components import deployments
from components.tables import bad_rows
from components.tables.table import NO_ROWS, Reading
from models.errors import UserError
from models.features import label as label_lib
from models.features.export_inputs import Input
from models.features.label import Label
from models.training import export_manifest
from pipeline.scoring import exported_model, model_inputs, predictions
from pipeline.scoring import predict as predict_lib
from pipeline.scoring.exported_model import PredictedLabel, latest_version
from pipeline.scoring.predict import Scored


def predict(model: pathlib.Path, *arguments, **more) -> Scored:
    return predict_lib.predict(exported_model.read(model), *arguments, **more)


INPUTS = [
    Input("rooms", "whole numbers", optional=False),
    Input("area", "numbers", optional=True),
    Input("kind", "text", optional=True),
]
COLUMNS = ["id", "rooms", "area", "kind", "note", "price"]


class _Rooms(tf.Module):
    """A model that predicts 100 times the rooms, plus the area, plus 0.5 if there is a kind."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def predict(self, examples):
        spec = {
            "rooms": tf.io.FixedLenFeature([1], tf.int64),
            "area": tf.io.VarLenFeature(tf.float32),
            "kind": tf.io.VarLenFeature(tf.string),
        }
        parsed = tf.io.parse_example(examples, spec)
        shape = [tf.size(examples, tf.int64), 1]
        area = tf.sparse.to_dense(tf.sparse.reset_shape(parsed["area"], shape))
        kind = tf.sparse.to_dense(tf.sparse.reset_shape(parsed["kind"], shape))
        rooms = tf.cast(parsed["rooms"], tf.float32)
        return {"predictions": 100 * rooms + area + tf.where(kind == "", 0.0, 0.5)}


class _Classes(tf.Module):
    """A model that predicts class `many` with probability 0.75 for three or more rooms."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def predict(self, examples):
        spec = {"rooms": tf.io.FixedLenFeature([1], tf.int64)}
        many = tf.io.parse_example(examples, spec)["rooms"] >= 3
        probability = tf.where(many, 0.75, 0.25)
        return {
            "probabilities": tf.concat([1 - probability, probability], 1),
            "classes": tf.where(many, "many", "few"),
        }


def export(module, labels, directory, inputs=INPUTS, columns=COLUMNS, missing=None):
    tf.saved_model.save(module, str(directory), signatures={"predict": module.predict})
    extra = directory / "assets.extra"
    extra.mkdir()
    read = [dataclasses.asdict(column) for column in inputs]
    signature: dict[str, Any] = {"inputs": read, "columns": columns}
    if missing is not None:
        signature["missing"] = missing
    (extra / "features.json").write_text(json.dumps(signature))
    (extra / "label.json").write_text(label_lib.to_json(labels))
    export_manifest.write(epath.Path(directory))
    return directory


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("regression") / "1"
    return export(_Rooms(), [Label("price", "regression")], directory)


@pytest.fixture
def score(model, tmp_path):
    """Returns a function that scores CSV text and returns the rows of the result."""
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"

    def call(text, model=model):
        source.write_bytes(text if isinstance(text, bytes) else text.encode())
        count = predict(model, source, target, Reading("csv", missing=["?"])).rows
        with open(target, newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines))
        assert count == len(rows) - 1
        return rows

    fixture: Any = call
    fixture.source, fixture.target, fixture.folder = source, target, tmp_path
    return fixture


@pytest.fixture
def mistake(score):
    """Returns a function that gives the error for a text; target and folder must be unchanged."""

    def call(text, *model):
        score.target.write_text("of the last time")
        with pytest.raises(UserError) as caught:
            score(text, *model)
        assert score.target.read_text() == "of the last time"
        assert sorted(path.name for path in score.folder.iterdir()) == ["in.csv", "out.csv"]
        message = str(caught.value).removesuffix(f"; {bad_rows.ADVICE}")
        return message.removeprefix(str(score.source)).removeprefix(": ")

    return call


def test_predictions_are_appended_to_their_rows(score):
    assert score("rooms,area,kind\n3,1.25,x\n2,,\n-1,0.5,\n") == [
        ["rooms", "area", "kind", "predicted_price"],
        ["3", "1.25", "x", "301.75"],
        ["2", "", "", "200"],
        ["-1", "0.5", "", "-99.5"],
    ]


def test_columns_are_copied_unchanged(score):
    text = 'price,note,rooms,id\n,"a ""b"", c",1,007\n12.50,"two\nlines",2, 8 \n1,ü,3,1e5\n'
    assert score(text) == [
        ["price", "note", "rooms", "id", "predicted_price"],
        ["", 'a "b", c', "1", "007", "100"],
        ["12.50", "two\nlines", "2", " 8 ", "200"],
        ["1", "ü", "3", "1e5", "300"],
    ]


def test_a_class_and_its_probabilities(score, tmp_path_factory):
    label = Label("size", "binary", classes=("few", "many"), frequencies=(0.5, 0.5))
    model = export(_Classes(), [label], tmp_path_factory.mktemp("classes") / "1")
    assert score("rooms\n2\n3\n", model) == [
        ["rooms", "predicted_size", "probability_few", "probability_many"],
        ["2", "few", "0.75", "0.25"],
        ["3", "many", "0.25", "0.75"],
    ]


class _Several(tf.Module):
    """A model of a list's mean with an interval, whether it is short, and another list's sum."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def predict(self, examples):
        spec = {
            "window": tf.io.RaggedFeature(tf.float32),
            "counts": tf.io.FixedLenFeature([2], tf.int64),
        }
        parsed = tf.io.parse_example(examples, spec)
        lengths = tf.cast(parsed["window"].row_lengths(), tf.float32)[:, tf.newaxis]
        total = tf.reduce_sum(parsed["window"], axis=1)[:, tf.newaxis]
        short = tf.where(lengths < 2, 0.75, 0.25)
        counts = tf.cast(tf.reduce_sum(parsed["counts"], axis=1, keepdims=True), tf.float32)
        return {
            "predictions": total,
            "lower": total - 1,
            "upper": total + 1,
            "short/probabilities": tf.concat([1 - short, short], 1),
            "short/classes": tf.where(lengths < 2, "yes", "no"),
            "sum/predictions": counts,
        }


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    labels = [
        Label("total", "regression", interval=0.9),
        Label("short", "binary", classes=("no", "yes")),
        Label("sum", "regression"),
    ]
    inputs = [
        Input("window", "numbers", True, sequence=True),
        Input("counts", "whole numbers", False, sequence=True, length=2),
    ]
    directory = tmp_path_factory.mktemp("several") / "1"
    return export(_Several(), labels, directory, inputs, ["window", "counts", "total", "short"])


def test_lists_in_fields_and_predictions_of_several_labels(score, several):
    text = 'short,window,counts\nno,"[1.5, 2]","[1, 2.0]"\n,,"[3,4]"\n,[],"[-1, 0]"\n'
    header, *rows = score(text, several)
    assert header == [
        *("short", "window", "counts"),
        *("predicted_total", "predicted_total_lower", "predicted_total_upper"),
        *("predicted_short", "probability_short_no", "probability_short_yes", "predicted_sum"),
    ]
    assert [row[3:] for row in rows] == [
        ["3.5", "2.5", "4.5", "no", "0.75", "0.25", "3"],
        ["0", "-1", "1", "yes", "0.25", "0.75", "7"],
        ["0", "-1", "1", "yes", "0.25", "0.75", "-1"],
    ]


NO_LISTS = ["1.5", "[1, x]", "[1, Infinity]", "[true]", "[[1]]", "{}", "null", "[1", "[1e999]"]


@pytest.mark.parametrize("field", [*NO_LISTS, "[" * 9999, f"[1{'0' * 400}]"])
def test_a_field_that_is_not_a_list_of_numbers(mistake, several, field):
    line = mistake(f'window,counts\n[1],"[1, 2]"\n"{field}","[1, 2]"\n', several)
    assert line.startswith(f":3: column window: found '{field[:50]}")
    assert line.endswith(", expected a list of numbers such as [1.5, 2]")
    assert len(line) < 160


@pytest.mark.parametrize(
    "field", ["[1]", "[1, 2, 3]", "[1, 2.5]", "[1, 1e30]", "[1, Infinity]", "[]"]
)
def test_a_field_that_is_not_a_list_of_two_whole_numbers(mistake, several, field):
    line = mistake(f'window,counts\n[1],"{field}"\n', several)
    wanted = "a list of 2 whole numbers such as [1, 2]"
    assert line == f":2: column counts: found {field!r}, expected {wanted}"


def test_an_empty_field_of_a_required_list(mistake, several):
    line = mistake("window,counts\n[1],\n", several)
    assert line == ":2: column counts is empty; the model needs it"


def test_a_missing_list_column(mistake, several):
    assert mistake("window\n[1]\n", several) == (
        "column counts is missing; the model needs it (a list of 2 whole numbers such as [1, 2])"
    )


def test_a_model_that_was_exported_in_an_earlier_form(mistake, tmp_path_factory):
    model = export(_Rooms(), [], tmp_path_factory.mktemp("earlier") / "1")
    (model / "assets.extra" / "label.json").write_text('{"name": "price", "task": "regression"}')
    export_manifest.write(epath.Path(model))
    score_it = "was exported in an older format; `run` trains and pushes a new one"
    assert mistake("rooms\n1\n", model) == f"{model}: {score_it}"


@pytest.fixture
def deployed(model, tmp_path_factory):
    """Copies the model into a serving directory as a version, with a record of its deployment."""
    serving = epath.Path(tmp_path_factory.mktemp("serving"))
    version = serving / "7"
    shutil.copytree(model, version)
    digest = export_manifest.digest(version)
    deployments.add(serving, deployments.Deployment("7", "now", "first", None, digest))
    return pathlib.Path(version)


def test_a_deployed_model_with_changed_files_is_refused(mistake, deployed):
    assert mistake("rooms\nx\n", deployed) == ":2: rooms: found 'x', expected a whole number"
    (deployed / "assets.extra" / "features.json").unlink()
    assert mistake("rooms\n1\n", deployed) == (
        f"{deployed}: is damaged: assets.extra/features.json is missing; restore its files, or "
        "`run`, which pushes it again"
    )


def test_a_replaced_deployed_model_is_refused(mistake, deployed):
    shutil.rmtree(deployed)
    export(_Rooms(), [Label("price", "regression")], deployed, columns=[*COLUMNS, "more"])
    assert "it is not the model that was deployed as version 7" in mistake("rooms\n1\n", deployed)


def test_a_model_without_checksums(mistake, deployed):
    (deployed / "assets.extra" / "manifest.json").unlink()
    assert mistake("rooms\n1\n", deployed) == (
        f"{deployed}: has no checksums (assets.extra/manifest.json): it was deployed by an earlier "
        "version, or the file was removed; `run` trains and pushes a new one"
    )


class _Fails(tf.Module):
    """A model that loads but fails at every request."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def predict(self, examples):
        refuse = tf.debugging.Assert(tf.size(examples) < 0, ["no such function"])
        with tf.control_dependencies([refuse]):
            return {"predictions": tf.ones([tf.size(examples), 1])}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (
            lambda folder: (folder / "saved_model.pb").write_bytes(b"\0garbage"),
            "cannot be loaded: ",
        ),
        (lambda folder: (folder / "saved_model.pb").unlink(), "cannot be loaded: OSError: "),
        (lambda folder: None, "cannot be used: InvalidArgumentError: "),
    ],
)
def test_an_unusable_model_is_reported_in_one_line(mistake, tmp_path, tmp_path_factory, harm, said):
    """The checksums match the broken files, so the error is TensorFlow's own."""
    folder = tmp_path_factory.mktemp("broken") / "1"
    export(_Fails(), [Label("price", "regression")], folder)
    harm(folder)
    export_manifest.write(epath.Path(folder))
    line = mistake("rooms\n1\n", folder)
    assert line.startswith(f"{folder}: {said}") and "\n" not in line
    assert line.endswith("; `run` trains and pushes a new one")


def test_block_size_does_not_change_the_output(score, monkeypatch):
    rows = [[str(i), str(i % 7), f"line\nof {i}"] for i in range(400)]
    text = "id,rooms,note\n" + "".join(f'{a},{b},"{c}"\n' for a, b, c in rows)
    whole = score(text)
    blocks = 0
    encode = model_inputs.features

    def counted(*arguments):
        nonlocal blocks
        blocks += 1
        return encode(*arguments)

    monkeypatch.setattr(model_inputs, "features", counted)
    monkeypatch.setattr(predict_lib, "_BLOCK_BYTES", 600)
    assert score(text) == whole
    assert blocks > 5
    assert whole[1:] == [[*row, str(100 * int(row[1]))] for row in rows]


@pytest.mark.parametrize(
    "text",
    [
        "rooms\r\n1\r\n2\r\n",
        "\ufeffrooms\n1\n2\n",
        "rooms\n1\n\n2",
        "\nrooms\n1\n2\n",
        "rooms\n1.0\n2.\n",
        "rooms\n 1\n2 \n",
        "rooms\n+1\n2\n",
        "rooms\nTrue\n2e0\n",
        '"rooms"\n"1"\n"2"\n',
    ],
)
def test_ways_to_write_the_same_rows(score, text):
    rows = score(text)
    assert rows[0] == ["rooms", "predicted_price"]
    assert [row[1] for row in rows[1:]] == ["100", "200"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty; expected a header line and rows"),
        ("\n\n", "is empty; expected a header line and rows"),
        ("rooms\n", NO_ROWS),
        ("rooms", NO_ROWS),
        ("rooms,id,id\n1,2,3\n", ":1: columns 2, 3 are all called id; rename all but one"),
        ("area,id\n1,2\n", "column rooms is missing; the model needs it (whole numbers)"),
        (
            "rooms,aera\n1,2\n",
            "column aera: the model was trained without it; did you mean area? "
            "(known: id, rooms, area, kind, note, price)",
        ),
        ("rooms\n1\nx\n", ":3: rooms: found 'x', expected a whole number"),
        ("rooms\n1\n3.5\n", ":3: rooms: found '3.5', expected a whole number"),
        ("rooms\nnan\n", ":2: column rooms is empty; the model needs it"),
        ("rooms\n1\n?\n", ":3: column rooms is empty; the model needs it"),
        ("rooms\n1_0\n", ":2: rooms: found '1_0', expected a whole number"),
        (f"rooms\n{10**20}\n", f":2: rooms: found '{10**20}', expected a whole number"),
        ("rooms,area\n1,2\n3,big\n", ":3: area: found 'big', expected a number"),
        ("rooms,area\n1,1_0\n", ":2: area: found '1_0', expected a number"),
        ("rooms,area\n1,2\n,3\n", ":3: column rooms is empty; the model needs it"),
        ("rooms,id\n1,1\n2\n", ":3: found 1 field, expected 2 as in the header: '2'"),
        ("rooms,id\n1,1\n2,2,2\n", ":3: found 3 fields, expected 2 as in the header: '2,2,2'"),
    ],
)
def test_a_mistake_names_column_and_row(mistake, text, message):
    assert mistake(text) == message


def test_every_wrong_column_is_reported(mistake):
    lines = mistake("aera,knd\n1,2\n").split("\n")
    assert len(lines) == 3


def test_text_that_is_not_utf_8(mistake):
    latin = "; set data.encoding: latin-1"
    assert mistake("rooms,nöte\n1,\n".encode("latin-1")) == f":1: the header is not utf-8{latin}"
    wrong = f"note: found 'é', which is not utf-8{latin}"
    assert mistake(b"rooms,note\n1,\xe9\n") == f":2: {wrong}"
    assert mistake(b"rooms,note\n" + b"1,y\n" * 5000 + b"1,\xe9\n") == f":5002: {wrong}"


def test_nul_characters(mistake):
    nul = r"note: found '\x00', which contains a NUL character; remove it"
    assert mistake("rooms,note\n1,\n2,\0\n") == f":3: {nul}"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("x,", ":402: rooms: found 'x', expected a whole number"),
        (",", ":402: column rooms is empty; the model needs it"),
        ("1", ":402: found 1 field, expected 2 as in the header: '1'"),
        ("1,2,3", ":402: found 3 fields, expected 2 as in the header: '1,2,3'"),
    ],
)
def test_a_mistake_in_a_later_block_has_its_row(mistake, monkeypatch, line, message):
    monkeypatch.setattr(predict_lib, "_BLOCK_BYTES", 200)
    rows = "".join(f"{i},\n" for i in range(400))
    assert mistake(f"rooms,note\n{rows}{line}\n1,\n") == message


class TestOtherFiles:
    TEXT = "rooms,area,kind\n3,1.25,x\n2,,\n"

    def predictions(self, model, source, target, **reading):
        scored = predict(model, source, target, Reading("csv", **reading))
        with open(target, newline="", encoding="utf-8") as lines:
            return [row["predicted_price"] for row in csv.DictReader(lines)], scored.notes

    def test_gzip_by_any_name(self, model, tmp_path):
        source = tmp_path / "in.csv"
        source.write_bytes(gzip.compress(self.TEXT.encode()))
        assert self.predictions(model, source, tmp_path / "out.csv") == (["301.75", "200"], ())

    def test_a_truncated_gzipped_file(self, model, tmp_path):
        source = tmp_path / "in.csv.gz"
        source.write_bytes(gzip.compress(self.TEXT.encode())[:-4])
        with pytest.raises(UserError, match="in.csv.gz: is truncated; copy or create"):
            self.predictions(model, source, tmp_path / "out.csv")

    def test_parquet(self, model, tmp_path):
        table = pa.table(
            {
                "rooms": pa.array([3, 2, 1], pa.int8()),
                "area": [1.25, float("nan"), None],
                "kind": ["x", None, "y"],
                "note": pa.array([datetime.datetime(2020, 1, 2, 3)] * 3),
                "__index_level_0__": [5, 4, 3],
            }
        )
        source = tmp_path / "kind=no" / "in.parquet"
        source.parent.mkdir()
        pa.parquet.write_table(table, source, row_group_size=2)
        found, notes = self.predictions(model, source, tmp_path / "out.csv")
        assert found == ["301.75", "200", "100.5"]
        assert notes == ("column __index_level_0__ is pandas' row index; it is left out",)
        lines = (tmp_path / "out.csv").read_text().splitlines()
        assert lines[0] == "rooms,area,kind,note,predicted_price"
        assert lines[1] == "3,1.25,x,2020-01-02 03:00:00.000000,301.75"

    def test_a_column_in_the_names_of_folders(self, model, tmp_path):
        source = tmp_path / "kind=big" / "run=3" / "in.csv"
        source.parent.mkdir(parents=True)
        source.write_text("rooms\n3\n")
        found, notes = self.predictions(model, source, tmp_path / "out.csv")
        assert (found, notes) == (["300.5"], ("columns taken from folder names: kind",))

    def test_latin_1_and_words_for_missing_values(self, model, tmp_path):
        source = tmp_path / "in.csv"
        source.write_bytes("rooms,area,kind,note\n3,NA,NA,Köln NA\n2,1,é,NA\n".encode("latin-1"))
        target = tmp_path / "out.csv"
        found, _ = self.predictions(model, source, target, encoding="latin-1", missing=("NA",))
        assert found == ["300", "201.5"]
        assert target.read_text(encoding="utf-8").splitlines()[1:] == [
            "3,NA,NA,Köln NA,300",
            "2,1,é,NA,201.5",
        ]

    def test_an_output_column_whose_name_is_taken(self, tmp_path):
        columns = ["rooms", "predicted_price"]
        label = Label("price", "regression")
        model = export(_Rooms(), [label], tmp_path / "1", INPUTS, columns)
        source, target = tmp_path / "in.csv", tmp_path / "out.csv"
        source.write_text("rooms,predicted_price\n3,7\n")
        scored = predict(model, source, target)
        assert target.read_text() == "rooms,predicted_price,predicted_price_2\n3,7,300\n"
        assert scored.notes == (
            "the input already has a column predicted_price; the new one is called "
            "predicted_price_2",
        )


class TestSeveralFiles:
    @pytest.fixture
    def folder(self, tmp_path):
        folder = tmp_path / "in [1]"
        for number, name in enumerate(("b.csv", "a.csv", "_SUCCESS")):
            folder.mkdir(exist_ok=True)
            (folder / name).write_text(f"rooms,area\n{number},0.5\n")
        return folder

    @pytest.mark.parametrize("pattern", ["", "*.csv", "[ab].csv"])
    def test_are_read_in_order(self, model, folder, pattern, tmp_path):
        assert predict(model, folder / pattern, tmp_path / "out.csv").rows == 2
        assert (tmp_path / "out.csv").read_text() == (
            "rooms,area,predicted_price\n1,0.5,100.5\n0,0.5,0.5\n"
        )

    def test_of_parquet(self, model, tmp_path):
        (tmp_path / "in").mkdir()
        for name in ("0", "1"):
            table = pa.table({"rooms": [int(name)], "area": [0.5]})
            pa.parquet.write_table(table, tmp_path / "in" / f"part-{name}")
        assert predict(model, tmp_path / "in" / "part-*", tmp_path / "out.csv").rows == 2
        assert (tmp_path / "out.csv").read_text().splitlines()[1:] == ["0,0.5,0.5", "1,0.5,100.5"]

    def test_in_folders_named_after_a_column(self, model, tmp_path):
        for kind, name in (("x", "a"), ("__HIVE_DEFAULT_PARTITION__", "b")):
            (tmp_path / "in" / f"kind={kind}").mkdir(parents=True)
            (tmp_path / "in" / f"kind={kind}" / name).write_text("rooms\n1\n")
        predict(model, tmp_path / "in", tmp_path / "out.csv")
        lines = (tmp_path / "out.csv").read_text().splitlines()
        assert lines == ["rooms,kind,predicted_price", "1,,100", "1,x,100.5"]

    @pytest.mark.parametrize(
        ("source", "target", "message"),
        [
            ("*.txt", "../out.csv", "{source}: no file matches"),
            ("", "out.csv", "--out {target}: is in the folder of the input; name a file elsewhere"),
            ("*.csv", "a.csv", "--out {target}: is the input itself; name another file"),
        ],
    )
    def test_what_is_refused(self, model, folder, source, target, message):
        source, target = folder / source, folder / target
        with pytest.raises(UserError) as caught:
            predict(model, source, target)
        assert str(caught.value) == message.format(source=source, target=target)

    def test_a_folder_without_files(self, model, tmp_path):
        (tmp_path / "in" / "2020").mkdir(parents=True)
        with pytest.raises(UserError, match="in: has only folders, such as 2020; name"):
            predict(model, tmp_path / "in", tmp_path / "out.csv")


class TestBadRows:
    TEXT = "rooms,area,note\n1,0.5,a\n2\n3,1,b\nx,2,c\n5,3,d\n"

    def test_may_be_left_out(self, model, tmp_path):
        source, target = tmp_path / "in.csv", tmp_path / "out.csv"
        source.write_text(self.TEXT)
        scored = predict(model, source, target, max_bad_share=0.4)
        assert target.read_text().splitlines() == [
            "rooms,area,note,predicted_price",
            "1,0.5,a,100.5",
            "3,1,b,301",
            "5,3,d,503",
        ]
        assert scored.rows == 3
        assert scored.notes == (
            f"2 rows that cannot be read were left out; the first is {source}:3: found 1 field, "
            "expected 3 as in the header: '2'",
        )

    def test_too_many_are_refused(self, model, tmp_path):
        source, target = tmp_path / "in.csv", tmp_path / "out.csv"
        source.write_text(self.TEXT)
        with pytest.raises(UserError) as caught:
            predict(model, source, target, max_bad_share=0.3)
        assert str(caught.value).startswith(
            "2 of 5 rows cannot be read, more than data.max_bad_share (0.3); fix them or raise it; "
            f"the first is {source}"
        )
        with pytest.raises(UserError, match="in.csv:3: found 1 field"):
            predict(model, source, target)
        assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]

    def test_lines_of_good_rows_are_not_shifted(self, model, tmp_path):
        source = tmp_path / "in.csv"
        source.write_text("rooms,area\nx,1\n1,2\n,3\n")
        with pytest.raises(UserError) as caught:
            predict(model, source, tmp_path / "out.csv", max_bad_share=0.9)
        assert str(caught.value) == f"{source}:4: column rooms is empty; the model needs it"


def test_words_for_missing_values_come_from_training(tmp_path):
    words = ("?", "NA")
    model = export(_Rooms(), [Label("price", "regression")], tmp_path / "1", missing=words)
    source, target = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("rooms,area,kind\n1,?,NA\n1,2,-\n")
    scored = predict(model, source, target, Reading("csv", missing=["-"]))
    assert target.read_text().splitlines()[1:] == ["1,?,NA,100", "1,2,-,102.5"]
    assert scored.notes == (
        "data.missing is -, but the model was trained with ?, NA; the table is read as the model "
        "was trained",
    )
    assert predict(model, source, target, Reading("csv", missing=["NA", "?"])).notes == ()


class TestTarget:
    def refused(self, score, model, target):
        score.source.write_text("rooms\n1\n")
        with pytest.raises(UserError) as caught:
            predict(model, score.source, target)
        assert [path.name for path in score.folder.iterdir()] == ["in.csv"]
        assert score.source.read_text() == "rooms\n1\n"
        return str(caught.value)

    def test_in_a_missing_folder(self, score, model):
        target = score.folder / "no" / "out.csv"
        message = self.refused(score, model, target)
        assert message == f"--out {target}: cannot be written: No such file or directory"

    def test_below_a_file(self, score, model):
        target = score.source / "out.csv"
        assert self.refused(score, model, target).endswith("cannot be written: Not a directory")

    def test_a_folder(self, score, model):
        message = self.refused(score, model, score.folder)
        assert message == f"--out {score.folder}: is a folder; name a file in it"

    def test_the_input(self, score, model):
        target = score.folder / "." / "in.csv"
        assert self.refused(score, model, target).endswith("is the input itself; name another file")

    def test_a_link_to_the_input(self, score, model, tmp_path_factory):
        link = tmp_path_factory.mktemp("links") / "x.csv"
        link.symlink_to(score.source)
        assert self.refused(score, model, link).endswith("is the input itself; name another file")

    def test_no_such_source(self, score, model):
        with pytest.raises(UserError) as caught:
            predict(model, score.source, score.target)
        assert str(caught.value) == f"{score.source}: no such file"


class TestLatestVersion:
    def test_is_the_greatest_number(self, tmp_path):
        for name in ("9", "10", "11.x.partial", ".12.partial", "notes"):
            (tmp_path / name).mkdir()
        (tmp_path / "13").write_text("a file")
        assert latest_version(tmp_path) == tmp_path / "10"

    @pytest.mark.parametrize("made", [False, True])
    def test_nothing_was_pushed(self, tmp_path, made):
        serving = tmp_path / "serving"
        if made:
            serving.mkdir()
        with pytest.raises(UserError) as caught:
            latest_version(serving)
        assert (
            str(caught.value) == f"{serving}: no model was pushed yet; `run` trains and pushes one"
        )


@pytest.mark.parametrize(
    ("outputs", "written"),
    [
        ({"logistic": [[0.25], [0.75]]}, ["no", "yes"]),
        ({"probabilities": [[0.75, 0.25], [0.25, 0.75]]}, ["no", "yes"]),
        (
            {"probabilities": [[0.75, 0.25], [0.25, 0.75]], "classes": [[b"no"], [b"yes"]]},
            ["no", "yes"],
        ),
    ],
)
def test_a_model_may_leave_out_classes(outputs, written):
    label = PredictedLabel("sold", "binary", ("no", "yes"))
    tensors = {name: tf.constant(values) for name, values in outputs.items()}
    assert predictions.columns(label, True, tensors) == {
        "predicted_sold": written,
        "probability_no": ["0.75", "0.25"],
        "probability_yes": ["0.25", "0.75"],
    }


@pytest.mark.parametrize(("name", "task"), [("rent", "regression"), ("price", "binary")])
def test_the_model_of_another_problem_is_refused(model, name, task):
    exported = exported_model.read(model)
    exported.check_label("price", "regression")
    with pytest.raises(UserError, match=rf"{model}: predicts price \(regression\), not {name}"):
        exported.check_label(name, task)
