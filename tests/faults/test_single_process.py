"""A training process is killed repeatedly, and ends like one that was not killed."""

import contextlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import time

import pytest
import tensorflow as tf

from models.training import checkpoints
from tests.faults.conftest import CLUSTER, TRAIN, Training, tasks, wait_until_gone

EVERY = 200
SETTINGS = {"cluster": None, "max_steps": 6000, "evaluate_every": EVERY}
SHORT = {"cluster": None, "max_steps": 300, "evaluate_every": 100}
ROUNDS = 30
_LONGEST = 2.5
"""Maximum seconds between the awaited point and the kill."""


@pytest.fixture(scope="module")
def undisturbed(table, tmp_path_factory):
    """Returns a function that gives an undisturbed training, run once for each settings.

    It is not forked, so that its hashes, and the order of its sets, are not those of the others.
    """
    made: dict[str, Training] = {}

    def of(**settings) -> Training:
        key = json.dumps(settings)
        if key not in made:
            folder = tmp_path_factory.mktemp("undisturbed")
            made[key] = Training(table, folder, fresh=True, **settings)
            assert made[key].end() == 0, made[key].errors[-3000:]
        return made[key]

    return of


def ended_equal(training: Training, other: Training) -> None:
    """Waits for the end; checks that the result is bit for bit that of the other training."""
    assert training.end() == 0, training.errors[-3000:]
    assert training.record["best"] == other.record["best"]
    weights = [
        tf.train.load_variable(str(t.directory / "best" / t.record["best"]["checkpoint"]), "weight")
        for t in (training, other)
    ]
    assert weights[0] == weights[1]
    files, others = (
        sorted(str(path.relative_to(t.export)) for path in t.export.rglob("*"))
        for t in (training, other)
    )
    assert files == others
    assert evaluations(training) == evaluations(other)
    assert not list(training.directory.glob("export/*"))
    assert not list(training.directory.glob("*temp*"))
    assert len(checkpoints.kept(training.directory)) <= 5


def evaluations(training: Training) -> dict[int, float]:
    """Reads the eval loss by step."""
    found = {}
    for file in (training.directory / "eval").glob("events.out.tfevents.*"):
        with contextlib.suppress(tf.errors.DataLossError):  # the last event of a killed run
            for event in tf.compat.v1.train.summary_iterator(str(file)):
                for value in event.summary.value:
                    if value.tag == "loss":
                        found[event.step] = value.simple_value
    return found


def last_checkpoint(folder: pathlib.Path) -> int:
    """Returns the step of the last readable checkpoint; 0 if there is none."""
    for directory in folder.glob("training/*"):
        for checkpoint in reversed(checkpoints.kept(directory)):
            if checkpoints.is_readable(checkpoint):
                return checkpoints.step_of(checkpoint.name)
    return 0


def steps_made(training: Training) -> int:
    """Counts the steps of the training's process, from the labels that the model recorded."""
    files = (training.folder / "rows").glob(f"*.{training.process.pid}")
    return sum(len(file.read_text().split()) // TRAIN.batch_size for file in files)


def has_ended(training: Training, after: float) -> bool:
    """Waits for some seconds for the training to end; returns whether it has."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        training.end(after)
    return training.process.returncode is not None


def kill_at_random(training: Training, dice: random.Random) -> str:
    """Kills a training some time after it has reached a random point; returns the point."""
    here = training.folder
    first = len(training.errors)

    def written() -> set[pathlib.Path]:
        return set(here.glob("training/*/*_temp/*tempstate*"))

    # Left by a round that was killed during a save, and not cleaned up yet.
    left = written()
    points = {
        "start": lambda: True,
        "steps": lambda: steps_made(training) > 0,
        "save": lambda: written() - left,
        "evaluation": lambda: "Starting evaluation" in training.errors[first:],
        "export": lambda: any(here.glob("training/*/export/*")),
    }
    point = dice.choices(list(points), weights=[1, 5, 2, 2, 1])[0]
    wait = dice.uniform(0, _LONGEST) if point != "save" else 0.0
    # This round may never reach a save or an export, so limit its steps.
    most = dice.randint(EVERY, 3 * EVERY)
    while not has_ended(training, after=0.002):
        if points[point]():
            has_ended(training, after=wait)
            break
        if steps_made(training) > most:
            point = "steps"
            break
    with contextlib.suppress(ProcessLookupError):
        training.process.send_signal(signal.SIGKILL)
    training.process.wait()
    return point if training.process.returncode else "had ended"


def rounds(start, other: Training, folder: pathlib.Path, settings, count: int, seed: int) -> None:
    """Kills and restarts a training `count` times; checks and prints the outcome of each round."""
    dice = random.Random(seed)
    number, table = 0, []
    for one in range(1, count + 1):
        place = folder / str(number)
        (place / "rows").mkdir(parents=True, exist_ok=True)
        settings = {**settings, "params": {"rows_to": str(place / "rows")}}
        started, restored = time.monotonic(), last_checkpoint(place)
        training = start(folder=place, **settings)
        phase = kill_at_random(training, dice)
        left = last_checkpoint(place)
        # A step may be in a checkpoint before its labels are recorded.
        killed = max(restored + steps_made(training), left)
        table.append(
            (one, restored, killed, phase, left, killed - left, time.monotonic() - started)
        )
        assert killed - left <= settings["evaluate_every"], table[-1]
        assert left >= restored, "a checkpoint that was whole is gone"
        if phase == "had ended":
            ended_equal(training, other)
            number += 1
    place = folder / str(number)
    (place / "rows").mkdir(parents=True, exist_ok=True)
    ended_equal(start(folder=place, **settings), other)
    heads = ("round", "from", "killed at", "phase", "goes on from", "lost", "s")
    print("\n{:>5} {:>6} {:>9} {:<10} {:>12} {:>5} {:>6}".format(*heads))
    for row in table:
        print("{:>5} {:>6} {:>9} {:<10} {:>12} {:>5} {:>6.1f}".format(*row))


def test_a_training_killed_twice_ends_like_an_undisturbed_one(train, undisturbed, tmp_path):
    rounds(train, undisturbed(**SHORT), tmp_path, SHORT, 2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_training_killed_thirty_times_ends_like_an_undisturbed_one(train, undisturbed, tmp_path):
    rounds(train, undisturbed(**SETTINGS), tmp_path, SETTINGS, ROUNDS, seed=2)


STATE = "tensorflow.python.checkpoint.checkpoint_management.update_checkpoint_state_internal"
SAVE = "tensorflow.compat.v1.train.Saver.save"
POINTS = {
    "in the write of a checkpoint": f"{SAVE}@3@{4 << 20}",
    "with a checkpoint that is not named yet": f"{STATE}@3",
    "before an evaluation is noted": "models.training.best_checkpoint.BestCheckpoint.export@2",
    "with a best copy that is not noted yet": "models.training.best_checkpoint._write@3",
    "in the export": "tfx.utils.io_utils.copy_dir@1",
    "in the copy of the export": "tfx.dsl.io.fileio.copy@2",
}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_the_worst_moment_costs_at_most_one_checkpoint_interval(
    train, undisturbed, point
):
    settings = {**SHORT, "params": {"ballast_mb": 8}}
    killed = train(crash=POINTS[point], **settings)
    assert killed.end() in (-signal.SIGKILL, -signal.SIGXFSZ), killed.errors[-3000:]
    if point == "in the write of a checkpoint":
        assert list(killed.directory.rglob("*tempstate*")), "it was in the midst of it"
    assert not (killed.folder / "run" / "training.json").exists()
    again = train(**settings)
    ended_equal(again, undisturbed(**settings))
    assert again.record["notes"] == []


def cut(file: pathlib.Path) -> None:
    """Cuts off the second half of a file."""
    os.truncate(file, file.stat().st_size // 2)


def data_of(directory: pathlib.Path, step: int) -> pathlib.Path:
    return directory / f"model.ckpt-{step}.data-00000-of-00001"


@pytest.mark.parametrize("cluster", [None, pytest.param(CLUSTER, marks=pytest.mark.slow)])
def test_training_falls_back_from_a_truncated_checkpoint_and_says_so(train, undisturbed, cluster):
    settings = {**SHORT, "cluster": cluster}
    ended = train(**settings)
    assert ended.end() == 0, ended.errors[-3000:]
    *_, before, last = checkpoints.kept(ended.directory)
    cut(data_of(ended.directory, checkpoints.step_of(last.name)))
    again = train(**settings)
    if cluster is None:
        ended_equal(again, undisturbed(**settings))
    assert again.end() == 0, again.errors[-3000:]
    step = checkpoints.step_of(before.name)
    [note] = again.record["notes"]
    assert note == f"checkpoint {last.name} cannot be read; training continues from step {step}"
    assert note in again.errors
    assert (again.directory / "unreadable" / f"{last.name}.index").exists()
    assert again.record["best"]["step"] >= 300


@pytest.mark.slow
def test_other_checkpoints_are_evaluated_again_if_the_best_copy_is_truncated(train, undisturbed):
    ended = train(**SHORT)
    assert ended.end() == 0, ended.errors[-3000:]
    cut(data_of(ended.directory / "best", ended.record["best"]["step"]))
    again = train(**SHORT)
    ended_equal(again, undisturbed(**SHORT))
    [note] = again.record["notes"]
    assert note.startswith("the copy of the best checkpoint cannot be read")


@pytest.mark.slow
def test_the_same_command_continues_after_a_whole_cluster_was_killed(train):
    settings = {"max_steps": 2000, "evaluate_every": EVERY}
    killed = train(**settings)
    killed.wait_for(lambda: killed.has_checkpoint(EVERY))
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.end()
    wait_until_gone(killed.folder)
    left = last_checkpoint(killed.folder)
    again = train(**settings)
    assert again.end() == 0, again.errors[-3000:]
    assert not tasks(again.folder)
    assert (
        left >= EVERY
        and f"model.ckpt-{left}\n" in (again.directory / "logs" / "chief.log").read_text()
    )
    assert 2000 <= again.record["best"]["step"] <= 2002


def can_mount() -> bool:
    mounts = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        bool(shutil.which("unshare")) and not subprocess.run(mounts, capture_output=True).returncode
    )


@pytest.mark.slow
@pytest.mark.skipif(not can_mount(), reason="a small disk needs the right to mount one")
@pytest.mark.parametrize("cluster", [None, CLUSTER], ids=["one process", "cluster"])
def test_a_full_disk_is_reported_and_training_continues_with_more_room(
    train, undisturbed, tmp_path, cluster
):
    """Three checkpoints of 8 MB and a copy of the best do not fit at first; later they do."""
    settings = {**SHORT, "cluster": cluster, "params": {"ballast_mb": 8}}
    small = tmp_path / "small"
    (small / "training").mkdir(parents=True)
    # The content of the small disk is copied before it disappears, for the second training.
    script = (
        f'mount -t tmpfs -o size=20m tmpfs {small}/training && {{ "$@"; code=$?; '
        f"cp -a {small}/training {tmp_path}/kept; exit $code; }}"
    )
    full = train(folder=small, wrapper=["unshare", "-m", "sh", "-c", script, "sh"], **settings)
    assert full.end() == 1
    assert not tasks(small)
    last = full.errors.splitlines()[-1]
    assert re.search(r"training directory \S+/training/\w+: the disk is full; free some", last), (
        last
    )
    assert not (small / "run" / "training.json").exists()
    shutil.copytree(tmp_path / "kept", small / "training", dirs_exist_ok=True)
    again = train(folder=small, **settings)
    if cluster is None:
        ended_equal(again, undisturbed(**settings))
    assert again.end() == 0, again.errors[-3000:]
    assert 300 <= again.record["best"]["step"] <= 302
