"""Tests of `run_fn`, from transformed examples to an export, and of the best checkpoint."""

import copy
import dataclasses
import json
import pathlib
import shutil

import bump_model
import numpy as np
import pytest
import rich_table
import tensorflow as tf
from etils import epath
from training_args import TRAIN, fn_args

from models import estimator_api
from models.features import export_inputs, inputs, label, label_statistics
from models.settings.column_settings import LabelSettings
from models.settings.training_settings import EarlyStopping, Tasks
from models.training import fitting, trainer
from models.training.best_checkpoint import BestCheckpoint
from models.training.problem import Problem


def in_store(tmp_path: pathlib.Path) -> str:
    """Returns a bucket for this test only."""
    return f"gs://{tmp_path.name.replace('_', '-')}"


def directories(folder) -> list[pathlib.Path]:
    return list((folder / "training").iterdir())


def score(export, rows) -> dict[str, np.ndarray]:
    """Returns an export's predictions for raw rows without their label."""
    signature = tf.saved_model.load(str(export)).signatures["predict"]
    examples = tf.constant([rich_table.example(row) for row in rows])
    return {name: value.numpy() for name, value in signature(examples=examples).items()}


@pytest.fixture(scope="module")
def bump(rich, tmp_path_factory):
    """Makes a run whose best checkpoint, of step 30, is neither the first nor the last."""
    folder = tmp_path_factory.mktemp("bump")
    trainer.run_fn(fn_args(rich, folder))
    return folder


def test_the_best_checkpoint_is_exported_not_the_last(rich, bump):
    [directory] = directories(bump)
    assert (
        estimator_api.Estimator(lambda features: None, str(directory))
        .latest_checkpoint()
        .endswith("model.ckpt-40")
    )
    record = json.loads((directory / "best" / "best.json").read_text())
    assert (record["checkpoint"], record["step"], record["loss"]) == ("model.ckpt-30", 30, 0.0)
    assert record["metrics"]["global_step"] == 30
    kept = {path.name.split(".")[1] for path in (directory / "best").glob("model.ckpt-*")}
    assert kept == {"ckpt-30"}
    predictions = score(bump / "model" / "Format-Serving", rich.eval_rows[:3])["predictions"]
    np.testing.assert_array_equal(predictions, np.full((3, 1), 30.0))


def test_the_export_is_the_serving_directory_itself(rich, bump):
    export = bump / "model" / "Format-Serving"
    assert {"saved_model.pb", "variables", "assets", "assets.extra"} <= {
        path.name for path in export.iterdir()
    }
    assert label.Label.of_export(str(export)) == label_statistics.from_transform(
        LabelSettings("price", "regression"), 0, rich.output, rich.train_files
    )
    signature = json.loads((export / "assets.extra" / export_inputs.FILE_NAME).read_text())
    assert [column["name"] for column in signature["inputs"]] == [f.name for f in rich.features]
    assert signature["columns"] == [column.name for column in rich.schema.feature]
    assert {"predict", "serving_default"} <= set(tf.saved_model.load(str(export)).signatures)


def test_summaries_and_a_record_go_to_the_run_and_checkpoints_do_not(bump):
    files = {path.name for path in (bump / "run").rglob("*") if path.is_file()}
    files.remove(trainer.RECORD)
    assert files and all(name.startswith("events.out.tfevents") for name in files)
    assert list((bump / "run" / "eval").iterdir())
    record = json.loads((bump / "run" / trainer.RECORD).read_text())
    assert (record["rows"], record["max_steps"], record["best"]["step"]) == (640, 40, 30)
    assert record["seconds"] > 0


@pytest.mark.parametrize(
    "task, rows, given, expected",
    [
        # 25 passes over a small table would be too few steps.
        ("regression", 640, {}, {"batch_size": 64, "epochs": 200, "evaluate_every": 286}),
        ("regression", 5_000, {}, {"batch_size": 128, "epochs": 154, "evaluate_every": 860}),
        ("regression", 20_000, {}, {"batch_size": 256, "epochs": 77, "evaluate_every": 860}),
        ("regression", 400_000, {}, {"batch_size": 1024, "epochs": 25, "evaluate_every": 1396}),
        ("binary", 640, {}, {"batch_size": 64, "epochs": 240, "evaluate_every": 343}),
        ("multiclass", 5_000, {}, {"batch_size": 128, "epochs": 62, "evaluate_every": 346}),
        ("binary", 50_000, {}, {"batch_size": 256, "epochs": 25, "evaluate_every": 698}),
        (
            "regression",
            640,
            {"max_steps": 50},
            {"batch_size": 64, "max_steps": 50, "evaluate_every": 8},
        ),
        (
            "binary",
            640,
            {"epochs": 2, "batch_size": 32},
            {"batch_size": 32, "epochs": 2, "evaluate_every": 6},
        ),
    ],
)
def test_default_training_settings_depend_on_the_task_and_the_number_of_rows(
    rich, tmp_path, monkeypatch, task, rows, given, expected
):
    monkeypatch.setattr(inputs, "count_rows", lambda files: rows)
    labels = (LabelSettings("price", task),)
    table = dataclasses.replace(rich, columns=dataclasses.replace(rich.columns, labels=labels))
    left_open = {"max_steps": None, "epochs": None, "batch_size": 0, "evaluate_every": 0}
    arguments = fn_args(table, tmp_path, **{**left_open, **given})
    train = Problem.of(arguments).settings.train
    assert train == dataclasses.replace(TRAIN, **{**left_open, **expected})


def test_tuned_parameters_replace_the_configured_ones(rich, tmp_path):
    arguments = fn_args(rich, tmp_path, max_steps=40)
    arguments.hyperparameters = {"values": {"model.params.best_step": 20, "train.max_steps": 30}}
    settings = Problem.of(arguments).settings
    assert settings.model.params == {"best_step": 20}
    assert settings.train.max_steps == 30
    assert named(arguments) != named(fn_args(rich, tmp_path, max_steps=40))


def test_evaluations_are_reported_and_may_end_the_training(rich, tmp_path):
    class Enough(Exception):
        pass

    seen = []

    def report(step, metrics):
        seen.append((step, metrics["loss"]))
        if step == 20:
            raise Enough

    problem = Problem.of(fn_args(rich, tmp_path))
    with pytest.raises(Enough):
        fitting.fit(problem, problem.context(), epath.Path(tmp_path / "fit"), report)
    assert seen == [(10, 400.0), (20, 100.0)]


class TestCalibration:
    """Tests that the intervals of a trained model are calibrated on rows it was not trained on."""

    @pytest.fixture(
        scope="class",
        params=[False, pytest.param(True, marks=pytest.mark.slow)],
        ids=["plain", "log"],
    )
    def calibrated(self, rich, tmp_path_factory, request):
        labels = (LabelSettings("price", "regression", request.param, interval=0.8),)
        table = dataclasses.replace(rich, columns=dataclasses.replace(rich.columns, labels=labels))
        folder = tmp_path_factory.mktemp("interval")
        arguments = fn_args(table, folder, ("mlp", {}), max_steps=30, evaluate_every=30)
        trainer.run_fn(arguments)
        return pathlib.Path(arguments.serving_model_dir)

    def test_it_covers_the_desired_share_of_the_eval_split(self, rich, calibrated):
        answers = score(calibrated, rich.eval_rows)
        truth = np.array([row["price"] for row in rich.eval_rows])
        inside = (answers["lower"][:, 0] <= truth) & (truth <= answers["upper"][:, 0])
        # The rank is ceil(201 · 0.8) = 161 of 200.
        assert 160 <= inside.sum() <= 162

    def test_the_export_records_its_calibration(self, calibrated):
        [found] = label.labels_of_export(str(calibrated))
        assert found.interval == 0.8
        assert found.calibration != 0.0


def test_a_repeated_run_resumes_and_exports_the_same(rich, bump, tmp_path):
    [directory] = directories(bump)
    before = (directory / "best" / "best.json").read_text()
    arguments = fn_args(rich, bump)
    arguments.serving_model_dir = str(tmp_path / "model")
    trainer.run_fn(arguments)
    assert directories(bump) == [directory]
    assert (directory / "best" / "best.json").read_text() == before
    assert tf.train.latest_checkpoint(str(directory)).endswith("model.ckpt-40")
    predictions = score(tmp_path / "model", rich.eval_rows[:1])["predictions"]
    assert predictions == [[30.0]]


@pytest.mark.slow
def test_all_directories_may_be_in_an_object_store(rich, bump, store, tmp_path):
    """A second run finds the files of the first one."""
    folder = epath.Path(in_store(tmp_path))
    for _ in range(2):
        trainer.run_fn(fn_args(rich, folder))
    [directory] = directories(folder)
    assert directory.name == directories(bump)[0].name
    assert json.loads((directory / "best" / "best.json").read_text())["step"] == 30
    assert not list((directory / "export").iterdir()), "it was moved, not copied"
    export = folder / "model" / "Format-Serving"
    assert score(export, rich.eval_rows[:1])["predictions"] == [[30.0]]
    assert label.labels_of_export(str(export))[0].name == "price"
    assert len(export_inputs.of_export(str(export))) == len(rich.features)
    names = {path.name for path in (folder / "run" / "eval").iterdir()}
    assert names and all(name.startswith("events.out.tfevents") for name in names)
    assert json.loads((folder / "run" / trainer.RECORD).read_text())["best"]["step"] == 30


def test_a_killed_run_continues_from_its_checkpoint(rich, tmp_path):
    """The weight counts steps: had the run started over, its loss at step 30 would be 20²."""
    arguments = fn_args(rich, tmp_path, max_steps=30)
    directory = killed_at(20, rich, arguments)
    trainer.run_fn(arguments)
    assert directories(tmp_path) == [directory]
    record = json.loads((directory / "best" / "best.json").read_text())
    assert (record["step"], record["loss"]) == (30, 0.0)
    steps = {int(path.name.split("-")[1].split(".")[0]) for path in directory.glob("model.ckpt-*")}
    assert steps == {20, 30}


def test_a_run_killed_before_its_only_evaluation_is_completed(rich, tmp_path):
    arguments = fn_args(rich, tmp_path, max_steps=10)
    directory = killed_at(10, rich, arguments)
    trainer.run_fn(arguments)
    assert json.loads((directory / "best" / "best.json").read_text())["step"] == 10


def killed_at(step: int, rich, arguments) -> pathlib.Path:
    """Trains up to a step, without an evaluation; returns the training directory."""
    directory = named(arguments)
    killed = estimator_api.Estimator(bump_model.model_fn, str(directory), params={})
    killed.train(Problem.of(arguments).train_input(len(rich.train_rows)), max_steps=step)
    return directory


def named(arguments) -> pathlib.Path:
    """Returns the training directory of a run that has not started."""
    root = pathlib.Path(arguments.custom_config["training_root"])
    return root / Problem.of(arguments).fingerprint()


def test_the_fingerprint_covers_a_cluster_but_not_its_restarts(rich, tmp_path):
    names = [
        named(fn_args(rich, tmp_path, cluster=cluster)).name
        for cluster in (Tasks(), Tasks(max_restarts=5, hang_seconds=9), None)
    ]
    assert names[0] == names[1] != names[2]
    assert named(fn_args(rich, tmp_path, cluster=Tasks(workers=2))).name != names[0]


@pytest.mark.parametrize("change", ["params", "code", "seed", "data", "graph"])
def test_a_change_of_the_result_changes_the_directory(rich, tmp_path, change):
    def directory(table, **changes) -> str:
        return named(fn_args(table, tmp_path, **changes)).name

    before = directory(rich)
    assert directory(rich) == before
    if change == "params":
        after = directory(rich, model=("bump_model.model_fn", {"best_step": 31}))
    elif change == "code":
        after = directory(rich, code="2")
    elif change == "seed":
        after = directory(rich, seed=2)
    else:
        moved = copy.copy(rich.__dict__)
        if change == "data":
            moved["train_files"] = [rewritten(rich.train_files, tmp_path, lambda rows: rows[:-1])]
        else:
            shutil.copytree(rich.graph, tmp_path / "graph")
            moved["graph"] = str(tmp_path / "graph")
            assert directory(rich_table.Transformed(**moved)) == before, "content, not place"
            vocabulary = next((tmp_path / "graph").rglob("assets/vocabularies"))
            vocabulary.write_bytes(vocabulary.read_bytes() + b"9:Paris\t0\n")
        after = directory(rich_table.Transformed(**moved))
    assert after != before


def rewritten(files, folder: pathlib.Path, change) -> str:
    """Writes one file with the records of others, after `change`."""
    rows = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
    path = str(folder / pathlib.Path(files[0]).name)
    with tf.io.TFRecordWriter(path, "GZIP") as writer:
        for row in change(rows):
            writer.write(row)
    return path


def test_equal_examples_in_different_bytes_are_the_same_data(rich, tmp_path):
    """The features of a `tf.Example` have no order, so each run of Transform may write another."""

    def reordered(rows: list[bytes]) -> list[bytes]:
        found = []
        for row in rows:
            features = tf.train.Example.FromString(row).features.feature
            parts = [
                tf.train.Example(features=tf.train.Features(feature={name: features[name]}))
                for name in sorted(features, reverse=True)
            ]
            # Concatenated messages are merged when they are parsed.
            found.append(b"".join(part.SerializeToString() for part in parts))
        assert found != rows
        return found

    moved = rich_table.Transformed(
        **{**rich.__dict__, "train_files": [rewritten(rich.train_files, tmp_path, reordered)]}
    )
    assert named(fn_args(moved, tmp_path)) == named(fn_args(rich, tmp_path))


def test_training_stops_early_when_the_loss_no_longer_falls(rich, tmp_path):
    model = ("bump_model.model_fn", {"best_step": 10})
    patience = EarlyStopping(10)
    trainer.run_fn(fn_args(rich, tmp_path, model, max_steps=200, early_stopping=patience))
    [directory] = directories(tmp_path)
    last = int(tf.train.latest_checkpoint(str(directory)).rpartition("-")[2])
    assert 20 <= last <= 50
    assert json.loads((directory / "best" / "best.json").read_text())["step"] == 10


def test_epochs_apply_without_max_steps(rich, tmp_path):
    problem = Problem.of(fn_args(rich, tmp_path, max_steps=None, epochs=2))
    assert problem.context().max_steps == 2 * len(rich.train_rows) // 64


def test_a_nan_loss_exports_nothing(rich, tmp_path):
    model = ("bump_model.model_fn", {"loss_is_number": False})
    with pytest.raises(ValueError, match="no evaluation gave a finite loss: lower model.params."):
        trainer.run_fn(fn_args(rich, tmp_path, model, max_steps=10))
    assert not (tmp_path / "model" / "Format-Serving").exists()


def test_an_unknown_parameter_is_refused(rich, tmp_path):
    with pytest.raises(ValueError, match="model.params.no_such: unknown parameter"):
        trainer.run_fn(fn_args(rich, tmp_path, ("mlp", {"no_such": 1}), max_steps=10))


class TestBestCheckpoint:
    @pytest.fixture(params=["disk", "object store"])
    def folder(self, request, tmp_path) -> epath.Path:
        if request.param == "disk":
            return epath.Path(tmp_path)
        request.getfixturevalue("store")
        return epath.Path(in_store(tmp_path))

    @staticmethod
    def checkpoint(folder: epath.Path, step: int) -> str:
        for part in ("index", "data-00000-of-00001", "meta"):
            (folder / f"model.ckpt-{step}.{part}").write_text(f"{part} of {step}")
        return str(folder / f"model.ckpt-{step}")

    @pytest.fixture
    def evaluate(self, folder):
        """Returns a function that reports an evaluation, with its checkpoint, to an exporter."""

        def evaluate(best: BestCheckpoint, step: int, loss: float) -> None:
            result = {"loss": np.float32(loss), "global_step": np.int64(step)}
            best.export(None, None, self.checkpoint(folder, step), result, False)

        return evaluate

    def test_the_lowest_loss_is_kept_and_nan_is_ignored(self, folder, evaluate):
        best = BestCheckpoint(folder / "best")
        kept = []
        for step, loss in ((1, 9), (2, float("nan")), (3, 4), (4, 5), (5, float("-inf")), (6, 4)):
            evaluate(best, step, loss)
            kept.append(epath.Path(best.checkpoint()).name)
        assert kept == [f"model.ckpt-{step}" for step in (1, 1, 3, 3, 3, 3)]
        parts = [f"model.ckpt-3.{part}" for part in ("index", "data-00000-of-00001", "meta")]
        names = {path.name for path in (folder / "best").iterdir()}
        assert names == {"best.json", "evaluated", *parts}

    def test_a_new_process_reads_the_record(self, folder, evaluate):
        evaluate(BestCheckpoint(folder / "best"), 1, 3.0)
        evaluate(BestCheckpoint(folder / "best"), 2, 5.0)
        assert BestCheckpoint(folder / "best").checkpoint().endswith("model.ckpt-1")

    def test_a_best_checkpoint_requires_a_finite_loss(self, folder, evaluate):
        best = BestCheckpoint(folder / "best")
        evaluate(best, 1, float("inf"))
        with pytest.raises(ValueError, match="no evaluation gave a finite loss"):
            best.checkpoint()

    def test_steps_with_a_common_prefix_are_distinguished(self, folder, evaluate):
        best = BestCheckpoint(folder / "best")
        self.checkpoint(folder, 10)
        evaluate(best, 1, 3.0)
        assert not list((folder / "best").glob("model.ckpt-10.*"))
        evaluate(best, 10, 2.0)
        assert not list((folder / "best").glob("model.ckpt-1.*"))

    def test_a_copy_without_its_record_does_not_count(self, folder, evaluate, monkeypatch):
        best = BestCheckpoint(folder / "best")
        evaluate(best, 1, 3.0)

        def killed(self, target):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(type(folder), "replace", killed)
            with pytest.raises(KeyboardInterrupt):
                evaluate(best, 2, 1.0)
        assert best.checkpoint().endswith("model.ckpt-1")
        assert epath.Path(best.checkpoint() + ".index").read_text() == "index of 1"
        evaluate(best, 3, 2.0)
        assert best.checkpoint().endswith("model.ckpt-3")
        assert not list((folder / "best").glob("model.ckpt-2.*")), "the leftover is gone"
