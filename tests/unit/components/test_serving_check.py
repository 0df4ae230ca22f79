"""Tests of the serving check on models that only work where they were trained or vary."""

import base64
import json
import pathlib
import sys
import venv
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tfx.types import standard_artifacts
from tfx_bsl.coders import example_coder
from tiny_model import artifact, examples, write_export_facts, write_schema

from components.serving_check import (
    answer_checks,
    executor,
    fresh_process,
    graph_faults,
    program,
    report,
)
from components.serving_check.report import NOTHING_FOUND, Report
from models.features.label import Label

SIZES = np.random.default_rng(3).normal(50, 10, 64).astype(np.float32)
ROWS = [{"size": float(size), "price": 4 * float(size)} for size in SIZES]
PRICE = Label("price", "regression", False, 200.0, 40.0, 5.1, 0.6, 180.0)
SIDE = Label("side", "binary", classes=("left", "right"), frequencies=(0.6, 0.4))
SPAN = Label("price", "regression", False, 200.0, 40.0, 5.1, 0.6, 180.0, interval=0.9)

Outputs = Mapping[str, Any]
Answer = Callable[[tf.Tensor], Outputs]


def export(
    folder: pathlib.Path, *labels: Label, keep: tf.Module | None = None, **signatures: Answer
) -> str:
    """Saves a model whose signatures map sizes of shape [batch, 1] to outputs."""
    module = keep or tf.Module()

    def signature(answer: Answer):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
        def answer_examples(examples):
            spec = {"size": tf.io.FixedLenFeature([1], tf.float32)}
            return answer(tf.io.parse_example(examples, spec)["size"])

        return answer_examples

    functions = {name: signature(answer) for name, answer in signatures.items()}
    tf.saved_model.save(module, str(folder / "model"), functions)
    write_export_facts(folder / "model", labels or [PRICE], {"size": 1})
    return str(folder / "model")


def batch(rows=ROWS):
    records = [
        tf.train.Example(
            features=tf.train.Features(
                feature={
                    name: tf.train.Feature(float_list=tf.train.FloatList(value=[value]))
                    for name, value in row.items()
                }
            )
        ).SerializeToString()
        for row in rows
    ]
    return example_coder.ExamplesToRecordBatchDecoder().DecodeBatch(records)


@pytest.fixture
def here(monkeypatch):
    """Runs the program in this process, for tests that do not depend on another process."""

    def ask(export: str, examples, alone: int, seconds: int) -> dict[str, Any]:
        encoded = [base64.b64encode(example).decode() for example in examples]
        request = {"export": export, "examples": encoded, "alone": alone}
        return json.loads(json.dumps(program.answer_to(request)))

    monkeypatch.setattr(fresh_process, "ask", ask)


def check(export: str, seconds: int = 120) -> Report:
    return executor.check(export, batch(), seconds)


def good(size) -> Outputs:
    return {"predictions": 4 * size}


def test_a_good_model_passes_in_a_fresh_process(tmp_path, monkeypatch):
    """The process has this one's TensorFlow, but not its settings or modules.

    Its interpreter has no libraries, as if they were installed with `pip install --user`.
    """
    venv.create(tmp_path / "bare", symlinks=True, with_pip=False)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bare" / "bin" / "python"))
    monkeypatch.setenv("TF_CONFIG", "{nonsense")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (tmp_path / "tensorflow.py").write_text("raise SystemExit(9)")
    model = export(tmp_path, predict=good, serving_default=good)
    assert check(model) == NOTHING_FOUND


def test_the_component_reads_the_test_split_and_writes_the_report(tmp_path, here):
    model = export(tmp_path / "in", predict=lambda size: {"predictions": size[:1]})
    (tmp_path / "in" / "model").rename(tmp_path / "in" / "Format-Serving")
    found = artifact(standard_artifacts.InfraBlessing, tmp_path / "out", 2)
    inputs = {
        "model": [artifact(standard_artifacts.Model, tmp_path / "in", 1)],
        "examples": [examples(tmp_path / "examples", ROWS)],
        "schema": [write_schema(tmp_path / "schema", ROWS)],
    }
    assert model.endswith("model")
    executor.Executor().Do(inputs, {"serving_check": [found]}, {"seconds": 120})
    written = Report.from_json((tmp_path / "out" / report.FILE_NAME).read_text())
    (text,) = written.findings
    assert text.startswith("predictions has the shape [1, 1] for 64 examples; expected 64 rows")


@pytest.mark.parametrize(
    ("function", "op"), [(tf.numpy_function, "PyFunc"), (tf.py_function, "EagerPyFunc")]
)
def test_a_python_function_is_refused(tmp_path, here, function, op):
    """The model works in this process, as it does in the Evaluator's."""

    def answer(size):
        return {"predictions": tf.ensure_shape(function(np.tanh, [size], tf.float32), [None, 1])}

    found = check(export(tmp_path, predict=answer))
    assert found.findings[0].startswith(f"The export calls a Python function ({op}, node ")
    assert not found.can_be_scored


# One second passes before TensorFlow is imported.
@pytest.mark.parametrize("seconds", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_a_model_that_hangs_is_stopped_and_reported(tmp_path, seconds):
    def answer(size):
        endless = tf.while_loop(lambda i: i < 1.0, lambda i: (i * 0.5,), [tf.reduce_min(size) * 0])
        return {"predictions": size + endless}

    found = check(export(tmp_path, predict=answer), seconds)
    assert found.findings == (
        "In a process that has only TensorFlow, the model did not answer 64 examples within "
        f"{seconds} s",
    )
    assert not found.can_be_scored


def test_the_end_of_a_crashed_process_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(fresh_process, "PROGRAM", tmp_path / "dies.py")
    (tmp_path / "dies.py").write_text("import os; os.write(2, b'out of luck\\n'); os.abort()")
    (text,) = check(export(tmp_path, predict=good)).findings
    assert text.endswith(", the model ended the process by SIGABRT: out of luck")


def test_an_export_that_cannot_be_read_is_reported(tmp_path, here):
    model = pathlib.Path(export(tmp_path, predict=good))
    (model / "saved_model.pb").write_bytes(b"\xff\xff")
    found = check(str(model))
    assert found.findings[0].startswith("The export's graph cannot be read: DecodeError")
    assert not found.can_be_scored


def test_a_model_that_raises_an_error_is_reported(tmp_path, here):
    def answer(size):
        with tf.control_dependencies([tf.debugging.assert_less(size, 60.0, "too large")]):
            return {"predictions": tf.identity(size)}

    found = check(export(tmp_path, predict=answer))
    assert "cannot answer through the signature predict: InvalidArgumentE" in found.findings[0]
    assert "too large" in found.findings[0]
    assert not found.can_be_scored


def test_a_missing_signature_or_output_is_reported(tmp_path, here):
    found = check(export(tmp_path / "1", serving_default=good))
    assert "cannot answer through the signature predict: KeyError" in found.findings[0]
    found = check(export(tmp_path / "2", predict=lambda size: {"value": size}))
    assert found.findings == ("The signature predict has no output predictions; it has value",)
    assert not found.can_be_scored
    found = check(export(tmp_path / "3", SPAN, SIDE, predict=good))
    assert [text.split("no output ")[1] for text in found.findings] == [
        f"{name}; it has predictions" for name in ("lower", "upper", "side/logistic")
    ]


def test_a_file_beside_the_export_is_refused(tmp_path, here):
    """The path is a constant or is computed; an asset is part of the export."""
    (tmp_path / "factor.txt").write_text("4")
    path = str(tmp_path / "factor.txt")

    def read(size, path):
        return {"predictions": size * tf.strings.to_number(tf.io.read_file(path))}

    constant = check(export(tmp_path / "1", predict=lambda size: read(size, path)))
    assert constant.findings[0].startswith(f"The export uses the file {path} (ReadFile, node")
    joined = check(
        export(
            tmp_path / "2",
            predict=lambda size: read(size, tf.strings.join([tf.strings.substr(path, 0, 999)])),
        )
    )
    assert joined.findings[0].startswith("The export uses files (ReadFile, node ")

    keep = tf.Module()
    keep.factor = tf.saved_model.Asset(path)
    keep.table = tf.lookup.StaticHashTable(tf.lookup.TextFileInitializer(
        keep.factor, tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER), -1)  # fmt: skip
    asset = export(
        tmp_path / "3",
        keep=keep,
        predict=lambda size: {
            **read(size, keep.factor.asset_path),
            "line": keep.table.lookup(tf.fill([tf.shape(size)[0], 1], "4")),
        },
    )
    assert check(asset) == NOTHING_FOUND


@pytest.mark.parametrize(
    ("read", "op"),
    [
        (lambda path: tf.data.Dataset.range(3).cache(path), "CacheDatasetV2"),
        (lambda path: tf.data.Dataset.range(3).snapshot(path), "SnapshotDatasetV2"),
        (lambda path: tf.data.Dataset.load(path, tf.TensorSpec([], tf.int64)), "LoadDataset"),
        (
            lambda path: tf.data.Dataset.range(3).map(
                lambda number: number + tf.strings.to_number(tf.io.read_file(path), tf.int64)
            ),
            "ReadFile",
        ),
        (
            lambda path: tf.data.Dataset.from_tensors(tf.raw_ops.RestoreV2(
                prefix=path, tensor_names=["a"], shape_and_slices=[""], dtypes=[tf.int64])[0]
            ),
            "RestoreV2",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
@pytest.mark.parametrize("captured", [False, True])
def test_files_of_datasets_and_checkpoints_are_refused(tmp_path, read, op, captured):
    """The path is a constant of the function or an argument."""
    path = str(tmp_path / "numbers")
    if op == "LoadDataset":
        tf.data.Dataset.range(3).save(path)

    def answer(size):
        total = read(given).reduce(tf.constant(0, tf.int64), lambda one, two: one + two)
        return {"predictions": size + tf.cast(total, tf.float32)}

    # TensorFlow only loads a dataset from a path that is a Python string.
    given: Any = tf.constant(path) if captured and op != "LoadDataset" else path
    model = pathlib.Path(export(tmp_path, predict=answer))
    saved = saved_model_pb2.SavedModel.FromString((model / "saved_model.pb").read_bytes())
    files = graph_faults.of_graph(saved).files
    assert [(file_op, file_path) for file_op, _, file_path in files] == [(op, path)]


def test_datasets_in_memory_and_the_exports_variables_are_not_files(tmp_path, here):
    keep = Counter()

    def answer(size):
        numbers = tf.data.Dataset.range(3).cache()
        return {"predictions": size * keep.count + tf.cast(numbers.cardinality(), tf.float32)}

    assert check(export(tmp_path, predict=answer, keep=keep)) == NOTHING_FOUND


@pytest.mark.parametrize(
    ("source", "files"),
    [
        (b"/data/types.bin", (("DecodeProtoV2", "a", "/data/types.bin"),)),
        (b"bytes://\n\x00", ()),
        (b"local://", ()),
        (b"", ()),
    ],
)
def test_a_file_that_is_named_in_an_attribute(source, files):
    model = saved_model_pb2.SavedModel()
    node = model.meta_graphs.add().graph_def.node.add(op="DecodeProtoV2", name="a")
    node.attr["descriptor_source"].s = source
    assert graph_faults.of_graph(model).files == files


@pytest.mark.parametrize("used", [False, True])
def test_a_checkpoint_counts_where_an_answer_depends_on_it(used):
    """A warm start leaves the initializers of its variables in an Estimator's graph."""
    with tf.Graph().as_default() as graph:
        prefix = tf.compat.v1.placeholder_with_default("model", [], "save/Const")
        names = {"tensor_names": ["a"], "shape_and_slices": [""], "dtypes": [tf.float32]}
        tf.raw_ops.RestoreV2(prefix=prefix, **names, name="save/RestoreV2")
        tf.raw_ops.RestoreV2(prefix=tf.constant("/warm/model.ckpt-1"), **names, name="warm")
    model = saved_model_pb2.SavedModel()
    meta_graph = model.meta_graphs.add(graph_def=graph.as_graph_def())
    meta_graph.saver_def.filename_tensor_name = "save/Const:0"
    for name in ["save/RestoreV2", *["warm"] * used]:
        meta_graph.signature_def["predict"].outputs[name].name = f"{name}:0"
    expected = (("RestoreV2", "warm", "/warm/model.ckpt-1"),) if used else ()
    assert graph_faults.of_graph(model).files == expected


def test_assets_of_an_estimators_graph_are_part_of_the_export(tmp_path, here):
    """The graph's constant still has the path of the original file."""
    vocabulary = tmp_path / "words.txt"
    vocabulary.write_text("a\nb\n")
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        records = tf.compat.v1.placeholder(tf.string, [None], "examples")
        size = tf.io.parse_example(records, {"size": tf.io.FixedLenFeature([1], tf.float32)})
        table = tf.lookup.StaticVocabularyTable(
            tf.lookup.TextFileInitializer(
                str(vocabulary), tf.string, tf.lookup.TextFileIndex.WHOLE_LINE, tf.int64,
                tf.lookup.TextFileIndex.LINE_NUMBER), 1)  # fmt: skip
        words = table.lookup(tf.fill([tf.shape(records)[0], 1], "b"))
        value = 4 * size["size"] + tf.cast(words, tf.float32)
        session.run(tf.compat.v1.tables_initializer())
        builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "model"))
        builder.add_meta_graph_and_variables(
            session,
            ["serve"],
            {"predict": tf.compat.v1.saved_model.predict_signature_def(
                {"examples": records}, {"predictions": value})},
            assets_collection=tf.compat.v1.get_collection(
                tf.compat.v1.GraphKeys.ASSET_FILEPATHS),
            main_op=tf.compat.v1.tables_initializer(),
        )  # fmt: skip
        builder.save()
    write_export_facts(tmp_path / "model", [PRICE], {"size": 1})
    vocabulary.unlink()
    assert check(str(tmp_path / "model")) == NOTHING_FOUND


class Counter(tf.Module):
    """A model that counts its calls."""

    def __init__(self):
        self.count = tf.Variable(0.0)

    def __call__(self, size):
        return {"predictions": size * (1 + 0.001 * self.count.assign_add(1.0))}


def standardised(size) -> Outputs:
    """Standardizes over the batch, as BatchNorm does in training mode."""
    deviation = tf.math.reduce_std(size, axis=0) + 1e-3
    return {"predictions": 200 + 40 * (size - tf.reduce_mean(size, axis=0)) / deviation}


def dropped(size) -> Outputs:
    return {"predictions": 4 * tf.nn.dropout(size, 0.3)}


def by_position(size) -> Outputs:
    """Adds noise that is the same each time, but depends on the position in the batch."""
    noise = tf.random.stateless_normal(tf.shape(size), [1, 2])
    return {"predictions": size + noise}


@pytest.mark.parametrize(
    ("answer", "when"),
    [
        (dropped, "when the same batch is sent twice"),
        (Counter(), "when the same batch is sent twice"),
        (standardised, "between a row in a batch and the same row alone"),
        (by_position, "between a row in a batch and the same row alone"),
    ],
    ids=["dropout", "counter", "batch_norm", "by_position"],
)
def test_a_prediction_depends_on_its_row_alone(tmp_path, here, answer, when):
    keep = answer if isinstance(answer, tf.Module) else None
    found = check(export(tmp_path, predict=answer, keep=keep))
    assert found.findings[0].startswith(f"predictions differs {when} in ")
    asked = "16 of 16" if "alone" in when else "64 of 64"
    assert (f" in {asked} rows: " in found.findings[0]) is (answer is not dropped)
    assert " where size is " in found.findings[0]
    assert found.can_be_scored


def test_a_further_label_must_be_predicted_consistently(tmp_path, here):
    def answer(size):
        return {**good(size), "side/logistic": tf.random.uniform(tf.shape(size))}

    found = check(export(tmp_path, PRICE, SIDE, predict=answer))
    assert found.findings[0].startswith("side/logistic differs when the same batch is sent twice")


@pytest.mark.parametrize("name", ["predictions", "output"])
def test_other_signatures_must_agree_with_predict(tmp_path, here, name):
    found = check(export(tmp_path, predict=good, serving_default=lambda size: {name: size}))
    (text,) = found.findings
    title = f"{name} differs" if name == "predictions" else f"predictions and {name} differ"
    assert text.startswith(
        f"{title} between the signatures predict and serving_default in 64 of 64 rows: "
    )
    assert " where size is " in text


def test_a_signature_without_outputs_of_predict_is_noted(tmp_path, here):
    found = check(export(tmp_path, predict=good, embedding=lambda size: {"vector": size}))
    assert found == Report(
        notes=("The signature embedding has none of predict's outputs, so it was not checked.",)
    )


SAMPLE = answer_checks.Sample(2, 1, lambda row: f"row {row}")
BINARY = np.array([[0.25], [0.75]])


def checked(signature: Mapping[str, Any], method: str, values=BINARY, label=SIDE) -> Report:
    """Returns the report on a signature other than `predict`."""

    def plain(outputs):
        return {
            name: {"shape": list(np.shape(value)), "values": np.ravel(value).tolist()}
            for name, value in outputs.items()
        }

    name = {"binary": "logistic", "regression": "predictions"}[label.task]
    predict = {name: np.array(values)}
    last = {name: predict[name][1:]}
    answers = {"together": [plain(predict)], "alone": [plain(last)]}
    answer: dict = {
        "failure": None, "not_asked": [], "answers": answers,
        "signatures": {"other": [plain(signature)]},
        "methods": {"other": f"tensorflow/serving/{method}"},
    }  # fmt: skip
    return answer_checks.check(answer, [label], SAMPLE)


@pytest.mark.parametrize(
    ("scores", "classes", "good"),
    [
        ([[0.75, 0.25], [0.25, 0.75]], None, True),
        ([[0.25, 0.75], [0.75, 0.25]], None, False),
        ([[0.75, 0.25], [0.25, 0.75]], [["left", "right"]] * 2, True),
        ([[0.25, 0.75], [0.75, 0.25]], [["right", "left"]] * 2, True),
        ([[0.75, 0.25], [0.25, 0.75]], [["right", "left"]] * 2, False),
    ],
)
def test_scores_of_classify_are_compared_by_class(scores, classes, good):
    outputs = {"scores": scores, **({"classes": classes} if classes else {})}
    found = checked(outputs, "classify").findings
    assert (found == ()) is good
    assert good or found[0].startswith("logistic and scores differ between the signatures")


def test_outputs_of_regress_are_compared():
    assert checked({"outputs": BINARY[:, 0]}, "regress").findings == ()
    assert checked({"outputs": [200.0, 201.0]}, "regress", [[200.0], [201.0]], PRICE).findings == ()
    (text,) = checked({"outputs": [200.0, 201.1]}, "regress", [[200.0], [201.0]], PRICE).findings
    assert text.endswith("in 1 of 2 rows: 201 and 201.1 where row 1")


def test_rounding_errors_are_not_differences():
    values = [[1e-9], [200.0]]
    assert checked({"predictions": [[2e-6], [200.001]]}, "predict", values, PRICE).findings == ()
    assert checked({"predictions": [[2e-2], [200.0]]}, "predict", values, PRICE).findings != ()


def test_readers_of_queues_are_reported_as_files():
    model = saved_model_pb2.SavedModel()
    model.meta_graphs.add().graph_def.node.add(op="WholeFileReaderV2", name="reader")
    assert graph_faults.of_graph(model).files == (("WholeFileReaderV2", "reader", ""),)
