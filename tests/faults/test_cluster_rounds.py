"""Tasks of a cluster are killed repeatedly, at random moments; the model must come out right."""

import collections
import contextlib
import dataclasses
import os
import random
import signal
import time

import pytest

from tests.faults.conftest import CLUSTER, TRAIN, Training, tasks

STEPS, EVERY = 2000, 200
TASKS = ["worker-0", "chief", "ps-0", "evaluator"]
VITAL = ("chief", "ps-0")
"""Tasks whose death undoes the steps since the last checkpoint."""
TRAININGS, KILLS = 10, 3
IN_FLIGHT = 5
"""Steps made between a task's death and the moment at which the others notice it."""


def steps_made(training: Training) -> int:
    """Counts the steps of all tasks, undone ones included, from the labels that they recorded."""
    files = (training.folder / "rows").iterdir()
    return sum(file.read_bytes().count(b"\n") // TRAIN.batch_size for file in files)


def kill(training: Training, dice: random.Random, latest: int) -> tuple[str, int]:
    """Kills a random task at a random moment; returns its name and the steps made by then.

    The moment may be during start-up or while steps are made, and does not wait for more steps
    than `latest`: a fast machine would end the training before.
    """
    wait = time.monotonic() + dice.choice([dice.uniform(0, 15), 0])
    steps = min(steps_made(training) + dice.choice([0, dice.randint(0, 2 * EVERY)]), latest)
    order = dice.sample(TASKS, len(TASKS))

    def victim() -> tuple[str, int] | None:
        made = steps_made(training)
        if made < steps or (time.monotonic() < wait and made < latest):
            return None
        return next(((name, pid) for name in order if (pid := training.task(name))), None)

    name, pid = training.wait_for(victim)
    made = steps_made(training)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return name, made


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_each_kill_at_a_random_moment_costs_at_most_one_checkpoint_interval(table, train, tmp_path):
    alone = train(folder=tmp_path / "alone", cluster=None, max_steps=STEPS, evaluate_every=EVERY)
    assert alone.end() == 0, alone.errors[-3000:]
    dice = random.Random(3)
    print(f"\n{'run':>3} {'killed, at steps made':<45} {'restarts':>8} {'undone':>6} {'loss':>9}")
    for run in range(TRAININGS):
        folder = tmp_path / str(run)
        (folder / "rows").mkdir(parents=True)
        training = train(
            folder=folder,
            max_steps=STEPS,
            evaluate_every=EVERY,
            params={"rows_to": str(folder / "rows")},
            cluster=dataclasses.replace(CLUSTER, max_restarts=4 * KILLS),
        )
        moments = [STEPS * (number + 1) // (KILLS + 1) for number in range(KILLS)]
        killed = [kill(training, dice, latest) for latest in moments]
        assert training.end() == 0, training.errors[-3000:]
        assert not tasks(folder)
        assert (training.export / "saved_model.pb").exists()
        assert not list(training.directory.glob("export/*"))

        record = training.record
        restarts = collections.Counter(restart["task"] for restart in record["restarts"])
        undone = steps_made(training) - record["best"]["step"]
        loss = record["best"]["metrics"]["loss"]
        said = ", ".join(f"{name} {made}" for name, made in killed)
        print(f"{run:>3} {said:<45} {sum(restarts.values()):>8} {undone:>6} {loss:>9.3g}")
        assert not collections.Counter(name for name, _ in killed) - restarts, "each is known of"
        costly = sum(restarts[name] for name in VITAL)
        assert -KILLS <= undone <= costly * EVERY + sum(restarts.values()) * IN_FLIGHT
        assert STEPS <= record["best"]["step"] <= STEPS + 2
        assert loss == pytest.approx(alone.record["best"]["metrics"]["loss"], rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_a_task_stopped_at_a_random_moment_is_killed_and_restarted(train, seed):
    # On a loaded machine the chief's last checkpoint may take over ten seconds.
    training = train(
        max_steps=STEPS, evaluate_every=EVERY, cluster=dataclasses.replace(CLUSTER, hang_seconds=30)
    )
    training.wait_for(lambda: training.has_checkpoint(1))
    dice = random.Random(seed)
    name, until = dice.choice(TASKS), time.monotonic() + dice.uniform(0, 5)
    victim = training.wait_for(lambda: time.monotonic() > until and training.task(name))
    os.kill(victim, signal.SIGSTOP)
    assert training.end() == 0, training.errors[-3000:]
    assert not tasks(training.folder)
    [restart] = training.record["restarts"]
    assert (restart["task"], restart["reason"]) == (
        name, "hung (30 s without a step) and was killed",
    )  # fmt: skip
    assert STEPS <= training.record["best"]["step"] <= STEPS + 2
