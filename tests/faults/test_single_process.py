"""One process that trains is killed, over and over: it ends as one that was not."""

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

from models import checkpoints
from tests.faults.conftest import Training, tasks, wait_until_gone

EVERY = 200
SETTINGS = {"cluster": None, "max_steps": 6000, "evaluate_every": EVERY}
SHORT = {"cluster": None, "max_steps": 300, "evaluate_every": 100}
ROUNDS = 30
_LONGEST = 2.5
"""Seconds between what is waited for and the kill."""


@pytest.fixture(scope="module")
def undisturbed(table, tmp_path_factory):
    """Trainings that nobody disturbed, made once for each of their settings."""
    made: dict[str, Training] = {}

    def of(**settings) -> Training:
        key = json.dumps(settings)
        if key not in made:
            made[key] = Training(table, tmp_path_factory.mktemp("undisturbed"), **settings)
            assert made[key].end() == 0, made[key].errors[-3000:]
        return made[key]

    return of


def ended_equal(training: Training, other: Training) -> None:
    """Waits for the end; checks that it made what the other one made, to the last bit."""
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
    """The eval loss by step."""
    found = {}
    for file in (training.directory / "eval").glob("events.out.tfevents.*"):
        with contextlib.suppress(tf.errors.DataLossError):  # the last event of a killed run
            for event in tf.compat.v1.train.summary_iterator(str(file)):
                for value in event.summary.value:
                    if value.tag == "loss":
                        found[event.step] = value.simple_value
    return found


def last_checkpoint(folder: pathlib.Path) -> int:
    """The step of the checkpoint that the Estimator would restore; 0 if there is none."""
    for directory in folder.glob("training/*"):
        return checkpoints.step_of(tf.train.latest_checkpoint(str(directory)))
    return 0


def told_step(training: Training) -> int:
    """The last step that was told of."""
    found = re.findall(r"step ([\d,]+)/", "\n".join(training.said))
    return int(found[-1].replace(",", "")) if found else 0


def kill_at_random(training: Training, dice: random.Random) -> str:
    """Kills it some time after it has come to some point; says which point."""
    here = training.folder
    points = {
        "start": lambda: True,
        "steps": lambda: told_step(training) > last_checkpoint(here) or told_step(training) > 1,
        "save": lambda: any(here.glob("training/*/*tempstate*")),
        "evaluation": lambda: "Starting evaluation" in training.errors,
        "export": lambda: any(here.glob("training/*/export/*")),
    }
    name = dice.choices(list(points), weights=[1, 4, 2, 2, 1])[0]
    reached = points[name]
    started = time.monotonic()
    # Whatever comes first: nobody need save or export in this round.
    wait = dice.uniform(0, _LONGEST)
    at = None
    while training.process.poll() is None and time.monotonic() - started < 120:
        now = time.monotonic()
        if at is None and (reached() or told_step(training) > last_checkpoint(here) + 5 * EVERY):
            at = now + (0 if name == "save" else wait)
        if at is not None and now >= at:
            break
        os.sched_yield()
    with contextlib.suppress(ProcessLookupError):
        training.process.send_signal(signal.SIGKILL)
    training.process.wait()
    return name


def rounds(start, undisturbed, tmp_path, count: int, seed: int) -> None:
    """Kills and starts again so often; prints what became of each round."""
    dice = random.Random(seed)
    number, table = 0, []
    folder = tmp_path / "0"
    for one in range(1, count + 1):
        started, restored = time.monotonic(), last_checkpoint(folder)
        training = start(folder=folder, **SETTINGS)
        phase = kill_at_random(training, dice)
        if training.process.returncode == 0:
            ended_equal(training, undisturbed(**SETTINGS))
            phase = "had ended"
        killed, left = max(told_step(training), restored), last_checkpoint(folder)
        # The step is told once a second, so it may be behind the checkpoint.
        lost = max(killed - left, 0)
        seconds = time.monotonic() - started
        table.append((one, killed, phase, left, lost, seconds))
        assert lost <= EVERY, table[-1]
        assert left >= restored, "a checkpoint that was whole is gone"
        if phase == "had ended":
            number, folder = number + 1, tmp_path / str(number + 1)
    final = start(folder=folder, **SETTINGS)
    ended_equal(final, undisturbed(**SETTINGS))
    print(
        f"\n{'round':>5} {'killed at':>9} {'phase':<10} {'goes on from':>12} {'lost':>5} {'s':>6}"
    )
    for row in table:
        print("{:>5} {:>9} {:<10} {:>12} {:>5} {:>6.1f}".format(*row))


def test_it_is_killed_twice_and_ends_as_if_it_had_not_been(train, undisturbed, tmp_path):
    rounds(train, undisturbed, tmp_path, 2, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_it_is_killed_thirty_times_and_ends_as_if_it_had_not_been(train, undisturbed, tmp_path):
    rounds(train, undisturbed, tmp_path, ROUNDS, seed=2)


STATE = "tensorflow.python.checkpoint.checkpoint_management.update_checkpoint_state_internal"
SAVE = "tensorflow.compat.v1.train.Saver.save"
POINTS = {
    "in the write of a checkpoint": f"{SAVE}@3@{4 << 20}",
    "with a checkpoint that is not named yet": f"{STATE}@3",
    "before an evaluation is noted": "models.best_checkpoint.BestCheckpoint.export@2",
    "with a best copy that is not noted yet": "models.best_checkpoint._write@3",
    "in the export": "tfx.utils.io_utils.copy_dir@1",
    "in the copy of the export": "tfx.dsl.io.fileio.copy@2",
}


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_the_worst_moments_costs_at_most_an_interval(train, undisturbed, point):
    settings = {**SHORT, "params": {"ballast_mb": 8}}
    killed = train(crash=POINTS[point], **settings)
    assert killed.end() in (-signal.SIGKILL, -signal.SIGXFSZ), killed.errors[-3000:]
    if point == "in the write of a checkpoint":
        assert list(killed.directory.glob("*tempstate*")), "it was in the midst of it"
    assert not (killed.folder / "run" / "training.json").exists()
    again = train(**settings)
    ended_equal(again, undisturbed(**settings))
    assert again.record["notes"] == []


def cut(file: pathlib.Path) -> None:
    """Takes the second half of a file."""
    os.truncate(file, file.stat().st_size // 2)


def data_of(directory: pathlib.Path, step: int) -> pathlib.Path:
    return directory / f"model.ckpt-{step}.data-00000-of-00001"


@pytest.mark.parametrize("cluster", [None, pytest.param({}, marks=pytest.mark.slow)])
def test_of_a_cut_checkpoint_training_goes_back_one_and_says_so(train, undisturbed, cluster):
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
    assert note == f"checkpoint {last.name} cannot be read; training goes on from step {step}"
    assert note in again.errors
    assert (again.directory / "unreadable" / f"{last.name}.index").exists()
    assert again.record["best"]["step"] >= 300


@pytest.mark.slow
def test_of_a_cut_best_copy_the_others_are_evaluated_again(train, undisturbed):
    ended = train(**SHORT)
    assert ended.end() == 0, ended.errors[-3000:]
    cut(data_of(ended.directory / "best", ended.record["best"]["step"]))
    again = train(**SHORT)
    ended_equal(again, undisturbed(**SHORT))
    [note] = again.record["notes"]
    assert note.startswith("the copy of the best checkpoint cannot be read")


@pytest.mark.slow
def test_of_a_whole_cluster_that_is_killed_the_same_command_goes_on(train):
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
    assert 2000 <= again.record["best"]["step"] <= 2001


def can_mount() -> bool:
    mounts = ["unshare", "-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    return (
        bool(shutil.which("unshare")) and not subprocess.run(mounts, capture_output=True).returncode
    )


@pytest.mark.skipif(not can_mount(), reason="a small disk needs the right to mount one")
def test_a_full_disk_is_named_and_with_room_training_goes_on(train, undisturbed, tmp_path):
    """Three checkpoints of 8 MB and a copy of the best do not fit; later they do."""
    settings = {**SHORT, "params": {"ballast_mb": 8}}
    small = tmp_path / "small"
    (small / "training").mkdir(parents=True)
    # What was on the small disk is kept when it goes away, as its next mount finds it.
    script = (
        f'mount -t tmpfs -o size=20m tmpfs {small}/training && {{ "$@"; code=$?; '
        f"cp -a {small}/training {tmp_path}/kept; exit $code; }}"
    )
    full = train(folder=small, wrapper=["unshare", "-m", "sh", "-c", script, "sh"], **settings)
    assert full.end() == 1
    last = full.errors.splitlines()[-1]
    assert re.search(r"training directory \S+/training/\w+: the disk is full; free some", last), (
        last
    )
    assert not (small / "run" / "training.json").exists()
    shutil.copytree(tmp_path / "kept", small / "training", dirs_exist_ok=True)
    again = train(folder=small, **settings)
    ended_equal(again, undisturbed(**settings))
