"""The shipped problem in use: a run, a cached run, a worse model, a killed run, predictions.

The tests share a workspace and build on each other in the order of the file.
"""

import contextlib
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from tests.e2e.conftest import NODES, Problem, kill, states, wait_for
from tests.e2e.test_own_model import block

pytestmark = pytest.mark.e2e

UNCACHED = {"Pusher"}  # it checks every time what is served


@pytest.fixture(scope="module")
def first(king_county) -> str:
    return king_county.run()


def log_of(output: str) -> pathlib.Path:
    (path,) = re.findall(r"^log: (.*)$", output, re.MULTILINE)
    return pathlib.Path(path)


def verdicts(found: Problem) -> list[dict]:
    """Returns all verdicts, in the order of their runs."""
    files = found.workspace.glob("artifacts/Evaluator/evaluation/*/verdict.json")
    return [json.loads(f.read_text()) for f in sorted(files, key=lambda f: int(f.parent.name))]


def test_the_first_run_blesses_and_pushes_a_model(king_county, first):
    assert states(first) == dict.fromkeys(NODES, "done")
    assert "No other model is deployed" in first
    assert "Blessed and pushed to" in first
    (version,) = king_county.versions
    assert (king_county.workspace / "serving" / version / "saved_model.pb").exists()
    log = log_of(first)
    assert log.parent == king_county.workspace / "logs"
    assert "Trainer" in log.read_text()


def test_the_pushed_files_are_byte_for_byte_the_judged_ones(king_county, first):
    (exported,) = (king_county.workspace / "artifacts" / "Trainer" / "model").iterdir()
    exported /= "Format-Serving"
    pushed = king_county.workspace / "serving" / king_county.versions[0]
    files = sorted(path.relative_to(exported) for path in exported.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(pushed) for p in pushed.rglob("*") if p.is_file())
    for file in files:
        assert (exported / file).read_bytes() == (pushed / file).read_bytes()


def test_metrics_equal_those_of_numpy_on_the_test_split(king_county, first, houses, tmp_path):
    """`predict` and the Evaluator reach the same model and rows by different code."""
    test = houses[houses.id.isin(split_ids(king_county, "test"))]
    assert 0.15 < len(test) / len(houses) < 0.25
    requests = tmp_path / "requests.csv"
    test.drop(columns="price").to_csv(requests, index=False)
    done = king_county.predict(requests, tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    predicted = pd.read_csv(tmp_path / "out.csv").predicted_price
    verdict = verdicts(king_county)[-1]
    metrics = verdict["metrics"]["overall"]
    error = predicted.to_numpy() - test.price.to_numpy()
    assert verdict["examples"] == len(test)
    assert metrics["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-5)
    assert metrics["mae"] == pytest.approx(np.mean(np.abs(error)), rel=1e-5)
    ratio = np.log1p(predicted.to_numpy()) - np.log1p(test.price.to_numpy())
    assert metrics["rmsle"] == pytest.approx(np.sqrt(np.mean(ratio**2)), rel=1e-5)

    train = houses[houses.id.isin(split_ids(king_county, "train"))]
    constant = train.price.mean()
    squared = np.mean((test.price - constant) ** 2)
    assert metrics["rmse_of_constant"] == pytest.approx(np.sqrt(squared), rel=1e-4)
    assert metrics["skill"] == pytest.approx(1 - np.mean(error**2) / squared, rel=1e-4)

    dear = test.price.to_numpy() >= 1_000_000
    band = verdict["metrics"]["price in bands 300000, 600000, 1000000: 1000000 and above"]
    assert band["example_count"] == dear.sum()
    assert band["rmse"] == pytest.approx(np.sqrt(np.mean(error[dear] ** 2)), rel=1e-5)


def test_each_house_is_in_a_single_split(king_county, first, houses):
    ids = {name: split_ids(king_county, name) for name in ("train", "eval", "test")}
    assert set(houses.id) == ids["train"] | ids["eval"] | ids["test"]
    assert sum(len(part) for part in ids.values()) == houses.id.nunique() < len(houses)


def test_a_worse_model_is_refused_and_the_old_one_stays_deployed(king_county, first):
    """The worse model is the one of the document about writing a model_fn, after a few steps."""
    (king_county.config.parent / "my_model.py").write_text(block("python", "my_model.py"))
    before = king_county.versions
    few = ("train.max_steps=10", "train.evaluate_every=10")
    output = king_county.run("model={name: my_model.model_fn, params: {units: 32}}", *few, code=3)
    assert states(output)["Transform"] == "cached"
    assert states(output)["Trainer"] == "done"
    assert re.search(r"^FAIL  RMSE is .* the baseline's is", output, re.MULTILINE)
    assert "Not blessed" in output
    assert king_county.versions == before
    verdict = verdicts(king_county)[-1]
    assert not verdict["blessed"]
    assert verdict["baseline_metrics"]["overall"]["rmse"] < verdict["metrics"]["overall"]["rmse"]


@pytest.fixture(scope="module")
def restored(king_county, first) -> str:
    """Deletes the deployments; returns what another interpreter's run shows on a terminal."""
    # A blessed model is deployed in the end, even if everything before is cached.
    shutil.rmtree(king_county.workspace / "serving")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        king_county.command("run"), stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    )
    os.close(theirs)
    screen = b""
    # Reading ends with an error once the last writer has closed the terminal.
    with contextlib.suppress(OSError):
        while block := os.read(ours, 65_536):
            screen += block
    assert process.wait() == 0
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.decode())


def test_an_unchanged_run_is_cached_and_restores_a_lost_deployment(king_county, first, restored):
    """The model is still blessed, though another one was refused meanwhile."""
    for node in NODES:
        state = "done" if node in UNCACHED else "cached"
        assert re.search(rf"{node} +{state} +\d+\.\d", restored)
    pushed = re.findall(r"^Blessed and pushed to .*/serving/(\d+)", first, re.MULTILINE)
    (version,) = king_county.versions
    assert re.search(rf"^Blessed and pushed to .*/serving/{version}\r$", restored, re.MULTILINE)
    assert [version] > pushed


def test_a_terminal_shows_no_output_of_libraries(restored):
    for leak in ("INFO", "WARNING", "Warning", "tensorflow/", "tfx", "I11", "W11"):
        assert leak not in restored.replace("importing TensorFlow and TFX", ""), restored


@pytest.mark.slow
def test_a_fresh_workspace_gives_the_same_numbers(king_county, first, tmp_path):
    again = Problem(king_county.config, tmp_path / "workspace")
    again.run(fresh=True)
    assert verdicts(again)[0]["metrics"] == verdicts(king_county)[0]["metrics"]


def test_a_changed_gate_judges_again_without_training(king_county, first):
    before = king_county.versions
    output = king_county.run("gates.rmse.at_most=1000", code=3)
    assert states(output)["Trainer"] == "cached"
    assert states(output)["Evaluator"] == "done"
    assert "it must be at most 1,000" in output
    assert king_county.versions == before


@pytest.mark.slow
def test_a_killed_training_continues_from_its_last_checkpoint(king_county, first):
    # Longer training shifts errors between bands, so loosen the change bound here.
    settings = ["train.max_steps=1500", "train.evaluate_every=250", "gates.rmse.may_worsen_by=0.5"]
    bands = "{column: price, bands: [300000, 600000, 1000000]}"
    settings.append(f"slices=[{bands}, {{column: zipcode, gate: false}}]")
    known = set((king_county.workspace / "training").iterdir())
    process = king_county.start(*settings)
    directory = wait_for(
        lambda: set((king_county.workspace / "training").iterdir()) - known, process, 300
    ).pop()
    # A restart reads the record of checkpoints, which is written after the checkpoint itself.
    record = directory / "checkpoint"
    wait_for(lambda: record.exists() and "model.ckpt-500" in record.read_text(), process, 300)
    kill(process)
    assert not list(directory.glob("model.ckpt-1500.*"))

    output = king_county.run(*settings)
    assert states(output)["Trainer"] == "done"
    assert "Blessed and pushed to" in output
    logs = sorted((king_county.workspace / "logs").glob("*-run.log"))
    restored = re.search(r"Restoring parameters from \S*model\.ckpt-(\d+)", logs[-1].read_text())
    assert restored is not None
    assert 500 <= int(restored.group(1)) < 1500
    assert (directory / "model.ckpt-1500.index").exists()
    assert len(verdicts(king_county)[-1]["metrics"]) > 60, "there is a slice for every zip code"


def test_a_second_run_in_the_same_workspace_is_refused(king_county, first):
    process = king_county.start()
    process.stdout.readline()  # it names its log once it holds the workspace
    done = king_county.call("run")
    kill(process)
    assert done.returncode == 2
    assert "another run is using it" in done.stderr


def test_a_failing_model_fn_is_reported_in_one_line(king_county, first):
    file = king_county.config.parent / "broken_model.py"
    file.write_text(
        "def model_fn(features, labels, mode, params, config):\n"
        "    raise RuntimeError('two layers do not fit')\n"
    )
    output = king_county.run("model=broken_model.model_fn", code=1)
    assert f"Trainer failed: {file}:2, in model_fn: RuntimeError: two layers do not fit" in output
    assert "Traceback" not in output
    log = log_of(output)
    assert "broken_model.py" in log.read_text()


def split_ids(king_county: Problem, split: str) -> set[int]:
    """Returns the house ids in a split of the raw examples that ExampleGen wrote."""
    folder = king_county.workspace / "artifacts" / "TableExampleGen" / "examples"
    files = [str(path) for path in folder.glob(f"*/Split-{split}/*")]
    spec = {"id": tf.io.FixedLenFeature([], tf.int64)}
    records = tf.data.TFRecordDataset(files, "GZIP").batch(10_000)
    parsed = records.map(lambda batch: tf.io.parse_example(batch, spec)["id"])
    return {int(value) for batch in parsed for value in batch}


def test_a_run_that_exceeds_its_memory_bound_says_so_and_ends(king_county, tmp_path):
    limited = Problem(king_county.config, tmp_path / "limited")
    last = limited.run("memory_mb=400", code=1).splitlines()[-1]
    assert re.fullmatch(
        r"Too much memory(?: in \w+)?: \d\d\d MB, more than memory_mb \(400\); raise it, .*", last
    )
    assert not limited.versions
