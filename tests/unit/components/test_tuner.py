"""Tests of the search with real trials in real processes, and of Optuna's part on its own."""

import dataclasses
import json
import math
import multiprocessing
import os
import pathlib
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from etils import epath
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
from tfx.types import standard_artifacts
from tiny_model import artifact

from components.tuner import executor, trial_processes
from components.tuner.study import Assignment, Study
from components.tuner.trial_processes import TrialPool
from components.tuner.tune_settings import Choices, Range, TuneSettings
from models.errors import UserError
from models.features import packed_tensors
from models.progress.observer import Observer, observing
from models.settings.training_settings import Model, Settings, Train
from models.training.problem import Problem
from tests.helpers.column_builder import column_settings

POSITION = "model.params.position"
SCHEMA = "".join(
    f'feature {{ name: "{name}" type: FLOAT presence {{ min_fraction: 1 }} '
    "shape { dim { size: 1 } } }\n"
    for name in ("x", "price")
)


def tuning(**changes) -> TuneSettings:
    settings = TuneSettings(
        trials=6,
        parallel=1,
        pruner="asha",
        metric="loss",
        goal="minimize",
        max_steps=None,
        evaluate_every=10,
        seed=7,
        search={
            POSITION: Range(0.0, 10.0),
            "model.params.hidden": Choices(([8, 4], [4])),
            "train.batch_size": Range(8, 32, step=8),
        },
    )
    return dataclasses.replace(settings, **changes)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> pathlib.Path:
    """Writes the outputs of Transform and the schema nodes for a table with one feature."""
    folder = tmp_path_factory.mktemp("table")
    spec = {
        packed_tensors.SCALED: tf.io.FixedLenFeature([1], tf.float32),
        packed_tensors.LABEL: tf.io.FixedLenFeature([], tf.float32),
        packed_tensors.statistics_name(0): tf.io.FixedLenFeature([6], tf.float32),
    }
    metadata = dataset_metadata.DatasetMetadata.from_feature_spec(spec)
    metadata_io.write_metadata(metadata, str(folder / "graph" / "transformed_metadata"))
    for split, rows in (("train", 128), ("eval", 32)):
        (folder / "examples" / f"Split-{split}").mkdir(parents=True)
        file = folder / "examples" / f"Split-{split}" / "rows.gz"
        with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
            for row in range(rows):
                values = {"scaled": [row / rows], "label": [row], "label_statistics": [9] * 6}
                lists = {
                    name: tf.train.Feature(float_list=tf.train.FloatList(value=value))
                    for name, value in values.items()
                }
                example = tf.train.Example(features=tf.train.Features(feature=lists))
                writer.write(example.SerializeToString())
    (folder / "schema").mkdir()
    (folder / "schema" / "schema.pbtxt").write_text(SCHEMA)
    return folder


def search(table, folder, tune, params=None, max_steps=40) -> tuple[dict, dict]:
    """Runs the executor and returns the contents of its two outputs."""
    examples = artifact(standard_artifacts.Examples, table / "examples", 1)
    examples.split_names = json.dumps(["train", "eval"])
    train = Train(max_steps=max_steps, batch_size=32, evaluate_every=1000, cache_mb=64, seed=1)
    model = Model("valley_model.model_fn", params or {})
    problem = Settings(column_settings({"price": "regression"}), model, train, code="1")
    executor.Executor().Do(
        {
            "examples": [examples],
            "transform_graph": [artifact(standard_artifacts.TransformGraph, table / "graph", 2)],
            "schema": [artifact(standard_artifacts.Schema, table / "schema", 3)],
        },
        {
            executor.BEST: [artifact(standard_artifacts.HyperParameters, folder / "best", 4)],
            executor.RESULTS: [artifact(standard_artifacts.TunerResults, folder / "results", 5)],
        },
        {
            "problem": problem.to_json(),
            "training_root": str(folder / "training"),
            "tune": tune.to_json(),
            "code": "1",
        },
    )
    return tuple(
        json.loads((folder / name).read_text())
        for name in ("best/best_hyperparameters.json", "results/trials.json")
    )


@dataclasses.dataclass
class SearchObserver(Observer):
    """Observer that calls a function with the progress of a search."""

    call: Callable[[str], None]

    def search_advanced(self, progress: str) -> None:
        self.call(progress)


def without_time(trials) -> list[dict]:
    return [{k: v for k, v in trial.items() if k != "seconds"} for trial in trials]


def pids_of_trials(pid: int) -> list[int]:
    """Returns the processes that a process has started for trials."""
    lists = pathlib.Path(f"/proc/{pid}/task").glob("*/children")
    started = [int(child) for file in lists for child in file.read_text().split()]
    return [
        child
        for child in started
        if "models.programs.trial" in pathlib.Path(f"/proc/{child}/cmdline").read_text()
    ]


def wait_for(condition, seconds: float = 120.0):
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited for {seconds} s"
        time.sleep(0.02)
    return result


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True


@pytest.fixture(scope="module")
def search_result(table, tmp_path_factory) -> types.SimpleNamespace:
    """Runs an undisturbed search; returns its outputs and its messages."""
    folder = tmp_path_factory.mktemp("undisturbed")
    reported: list[str] = []
    with observing(SearchObserver(reported.append)):
        best, results = search(table, folder, tuning())
    return types.SimpleNamespace(
        folder=folder,
        reported=reported,
        best=best,
        best_number=results["best"],
        trials=results["trials"],
    )


def test_the_best_trial_is_reported(search_result):
    complete = [trial for trial in search_result.trials if trial["state"] == "complete"]
    nearest = min(complete, key=lambda trial: abs(trial["values"][POSITION] - 3))
    assert search_result.best == {"values": nearest["values"]}
    assert search_result.best_number == nearest["number"]
    assert nearest["value"] == pytest.approx(abs(nearest["values"][POSITION] - 3) + 1 / 41)
    assert search_result.reported[0] == "0/6 trials"
    assert search_result.reported[-1] == f"6/6 trials, best loss {nearest['value']:.5g}"


def test_the_first_trial_is_the_configuration_itself(search_result):
    first = search_result.trials[0]
    assert first["values"] == {POSITION: 1.0, "model.params.hidden": [8, 4], "train.batch_size": 32}
    assert first["value"] == pytest.approx(2 + 1 / 41)
    assert [step for step, _ in first["evaluations"]] == [10, 20, 30, 40]


def test_hopeless_trials_are_stopped_early(search_result):
    assert [trial["number"] for trial in search_result.trials] == list(range(6))
    pruned = [trial for trial in search_result.trials if trial["state"] == "pruned"]
    assert pruned
    for trial in pruned:
        assert trial["steps"] < 40
        step, value = trial["evaluations"][-1]
        assert (step, value) == (trial["steps"], trial["value"])
        # Another trial was better at the same step.
        earlier = [dict(t["evaluations"]) for t in search_result.trials[: trial["number"]]]
        assert value > min(values[step] for values in earlier if step in values)


def test_only_the_summaries_of_trials_are_kept(search_result):
    [directory] = (search_result.folder / "training" / "tuning").iterdir()
    files = [path.name for path in directory.rglob("*") if path.is_file()]
    assert files.count("study.sqlite") == 1
    assert all(n.startswith("events.out.tfevents") for n in files if n != "study.sqlite")
    assert {path.name for path in directory.iterdir() if path.is_dir()} == {
        f"trial-{number}" for number in range(6)
    }


def test_a_complete_search_runs_no_trial_again(table, search_result, tmp_path, monkeypatch):
    monkeypatch.setattr(
        TrialPool, "idle_process", lambda pool: pytest.fail("a process was started")
    )
    _, results = search(table, search_result.folder, tuning(parallel=2))
    assert results["trials"] == search_result.trials
    # A search with fewer trials has the first ones.
    best, results = search(table, search_result.folder, tuning(trials=1))
    assert (results["trials"], results["best"]) == (search_result.trials[:1], 0)
    assert best == {"values": {}}, "the configuration itself: nothing to replace"


@pytest.mark.slow
def test_a_killed_search_resumes_with_the_same_result(table, search_result, tmp_path, capfd):
    # In a new process, as the search uses TensorFlow, which does not survive a fork.
    code = (
        f"import pathlib, sys; sys.path[:] = {sys.path}\n"
        "import test_tuner as t\n"
        f"t.search(pathlib.Path({str(table)!r}), pathlib.Path({str(tmp_path)!r}), t.tuning())"
    )
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        # The second trial is between two evaluations.
        wait_for(lambda: list(tmp_path.rglob("trial-1/model.ckpt-20.index")), 300)
        [trial_process] = pids_of_trials(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    wait_for(lambda: is_gone(trial_process), 5)
    assert not list(tmp_path.rglob("trial-1/model.ckpt-40.index"))

    capfd.readouterr()
    best, results = search(table, tmp_path, tuning())
    output = capfd.readouterr().err
    assert "trial-1/model.ckpt-20" in output or "trial-1/model.ckpt-30" in output
    assert "trial-0/model.ckpt" not in output
    assert best == search_result.best
    assert [trial["values"] for trial in results["trials"]] == [
        trial["values"] for trial in search_result.trials
    ]
    assert without_time(results["trials"][2:]) == without_time(search_result.trials[2:])
    assert results["trials"][1]["value"] == search_result.trials[1]["value"]


@pytest.mark.slow
def test_an_interrupted_search_in_an_object_store_resumes(table, search_result, store, tmp_path):
    """Between the two searches the study is only in the store."""

    class Ended(Exception):
        pass

    def end(text: str) -> None:
        if text.startswith("1/3 "):
            raise Ended

    folder = epath.Path(f"gs://{tmp_path.name.replace('_', '-')}")
    with observing(SearchObserver(end)), pytest.raises(Ended):
        search(table, folder, tuning(trials=3))
    assert any(name.endswith("/study.sqlite") for name in store.written(folder.parts[2]))
    _, results = search(table, folder, tuning(trials=3))
    assert without_time(results["trials"]) == without_time(search_result.trials[:3])


def test_the_search_fails_only_if_every_trial_fails(table, tmp_path):
    """The process of the last trial is killed."""

    def kill_last(progress: str) -> None:
        if progress.startswith("3/4 "):
            [pid] = pids_of_trials(os.getpid())
            os.kill(pid, signal.SIGKILL)

    fails = {"model.params.fails": Choices(("nan", "raises"))}
    with observing(SearchObserver(kill_last)), pytest.raises(ValueError) as caught:
        search(table, tmp_path, tuning(search=fails, trials=4), {"fails": "nan"}, max_steps=10)
    assert str(caught.value).startswith(
        "none of 4 trials was completed; trial 0: no evaluation gave a finite loss: lower"
    )
    assert not pids_of_trials(os.getpid())
    [file] = tmp_path.rglob("study.sqlite")
    trials = Study(file, tuning(search=fails, trials=4), {}).trials()
    assert [trial.state for trial in trials] == ["failed"] * 4
    assert trials[3].error == "its process ended with signal 9; is there enough memory?"
    errors = {trial.values["model.params.fails"]: str(trial.error) for trial in trials[:3]}
    assert errors["raises"].endswith(", in model_fn: RuntimeError: no such position as 1.0")
    assert "valley_model.py:" in errors["raises"]


def test_trial_processes_end_with_the_pool_and_with_its_process():
    problem: dict[str, Any] = {"custom_config": {}}
    with pytest.raises(KeyboardInterrupt), TrialPool(problem, 2) as pool:
        pool.idle_process().trial = 0
        pool.idle_process().trial = 1
        # A process does not have its command line immediately after it was started.
        pids = wait_for(lambda: len(pids := pids_of_trials(os.getpid())) == 2 and pids)
        assert not pool.has_room
        raise KeyboardInterrupt
    assert all(is_gone(pid) for pid in pids)

    def ask():
        TrialPool(problem, 1).idle_process()
        signal.pause()

    process = multiprocessing.get_context("fork").Process(target=ask)
    process.start()
    asking = process.pid
    assert asking
    try:
        [pid] = wait_for(lambda: pids_of_trials(asking))
    finally:
        process.kill()
        process.join()
    wait_for(lambda: is_gone(pid), 10)


def test_messages_that_arrive_together_are_all_read(tmp_path, monkeypatch):
    """As when the search is slower than a trial's first evaluation."""
    (tmp_path / "hasty.py").write_text(
        "import pathlib\nfrom models.processes.json_lines import Channel\nchannel = Channel()\n"
        "sent = pathlib.Path(channel.receive())\n"
        "channel.send(event='ready')\nchannel.send(event='evaluation')\nsent.touch()\n"
        "channel.receive()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(trial_processes, "_MODULE", "hasty")
    sent = tmp_path / "sent"
    with TrialPool(str(sent), 1) as pool:
        process = pool.idle_process()
        process.trial = 0
        wait_for(sent.exists)
        [(sender, message)] = pool.messages()
        assert message and (sender, message["event"]) == (process, "evaluation")
        assert process.is_ready


def test_the_trainer_reads_the_best_hyperparameters(table, search_result):
    train = Train(max_steps=1, batch_size=1, evaluate_every=1)
    problem = Settings(column_settings({"price": "regression"}), Model("mlp"), train)
    arguments = types.SimpleNamespace(
        schema_path=str(table / "schema" / "schema.pbtxt"),
        custom_config={"problem": problem.to_json()},
        transform_output=str(table / "graph"),
        train_files=[],
        eval_files=[],
        hyperparameters=search_result.best,
    )
    settings = Problem.of(arguments).settings
    assert settings.model.params["position"] == search_result.best["values"][POSITION]
    assert settings.train.batch_size == search_result.best["values"]["train.batch_size"]


class TestStudy:
    """Tests of the study without processes; the test provides the evaluations of each trial."""

    @pytest.fixture
    def study(self, tmp_path):
        def make(configured=None, **changes) -> Study:
            return Study(tmp_path / "study.sqlite", tuning(**changes), configured or {})

        return make

    @staticmethod
    def run(study: Study, losses) -> int | None:
        """Runs one trial with a loss for every ten steps; returns the step at which it ended."""
        assignment = study.next()
        if assignment is None:
            return None
        for step, loss in enumerate(losses, 1):
            if not study.report(assignment.number, step * 10, {"loss": loss}, step == len(losses)):
                study.prune(assignment.number)
                return step * 10
        study.complete(assignment.number, {"loss": min(losses)})
        return step * 10

    def test_the_number_of_trials_is_limited(self, study):
        made = study(trials=3)
        first, second = made.next(), made.next()
        made.complete(second.number, {"loss": 1.0})
        third = made.next()
        assert [first.number, second.number, third.number] == [0, 1, 2]
        assert made.next() is None

    def test_the_median_prunes_once_five_trials_are_complete(self, study):
        made = study(trials=8, pruner="median")
        for level in (5, 1, 2, 3, 4):
            assert self.run(made, [level + 2, level + 1, level]) == 30
        assert self.run(made, [6, 5, 4]) == 10
        assert self.run(made, [4, 3, 2]) == 30
        assert self.run(made, [4, 3, 9]) == 30, "the best so far counts, and the end is the end"
        assert [trial.state for trial in made.trials()].count("pruned") == 1

    def test_values_depend_on_the_seed_and_on_earlier_trials(self, tmp_path):
        def values(name, **changes):
            made = Study(tmp_path / name, tuning(**changes), {})
            while self.run(made, [3.0]):
                pass
            return [trial.values for trial in made.trials()]

        # The sampler learns from earlier trials after the first ten, which are random.
        first, again = (values(name, trials=12) for name in ("first", "again"))
        assert first == again
        assert values("other", trials=3, seed=8)[1:] != first[1:3]
        for tried in first[1:]:
            assert 0 <= tried[POSITION] <= 10 and tried[POSITION] == float(f"{tried[POSITION]:.6g}")
            assert tried["model.params.hidden"] in ([8, 4], [4])
            assert tried["train.batch_size"] in (8, 16, 24, 32)

    def test_an_interrupted_trial_is_resumed_first(self, study):
        made = study()
        self.run(made, [3.0])
        left = made.next()
        made.report(left.number, 10, {"loss": 2.0}, False)
        made.spent(left.number, 5.0)
        made.close()
        again = study()
        assert again.next() == left
        assert again.next().number == 2
        # From its checkpoint it passes the same step again.
        again.report(left.number, 10, {"loss": 2.0}, False)
        again.spent(left.number, 1.5)
        again.complete(left.number, {"loss": 2.0})
        trial = again.trials()[1]
        assert (trial.evaluations, trial.seconds) == (((10, 2.0),), 6.5)

    def test_a_finished_search_can_be_extended(self, study):
        fewer, more = study(trials=2), None
        while self.run(fewer, [1.0]):
            pass
        more = study(trials=3)
        assert more.next().number == 2
        assert more.next() is None

    def test_a_metric_can_be_maximized(self, study):
        made = study(goal="maximize", metric="auc", pruner="none")
        for value in (0.7, 0.9, 0.8):
            made.complete(made.next().number, {"auc": value, "loss": 1.0})
        assert made.best().number == 1

    def test_a_trial_whose_metric_is_nan_fails(self, study):
        made = study()
        assignment = made.next()
        assert made.report(assignment.number, 10, {"loss": math.nan}, True)
        made.complete(assignment.number, {"loss": math.nan})
        [trial] = made.trials()
        assert (trial.state, trial.value, trial.evaluations) == ("failed", None, ((10, None),))
        assert trial.error == "loss is nan at the best checkpoint"
        assert made.best() is None

    def test_an_unknown_metric_is_named(self, study):
        made = study(metric="rmsle")
        number = made.next().number
        metrics = {"loss": 1.0, "rmse": 2.0, "global_step": 10}
        message = r"tune.metric: .* no eval metric rmsle \(known: loss, rmse\)"
        with pytest.raises(UserError, match=message):
            made.report(number, 10, metrics, False)
        with pytest.raises(UserError, match=message):
            made.complete(number, metrics)

    @pytest.mark.parametrize("position", [99.0, 5])
    def test_a_configuration_outside_the_ranges_is_tried(self, study, position):
        made = study({POSITION: position, "train.batch_size": 30})
        assert made.next() == Assignment(0, {})
        assert made.trials()[0].values == {POSITION: position, "train.batch_size": 30}
