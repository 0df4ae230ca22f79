"""Tests of the observer that is installed around a run."""

import threading

import pytest

from models.progress import observer
from models.progress.observer import Observer, observing
from models.progress.training_progress import Progress


class Recorder(Observer):
    """Observer that keeps the progress of trainings."""

    def __init__(self):
        self.texts: list[str] = []

    def training_advanced(self, progress: str) -> None:
        self.texts.append(progress)


def test_the_innermost_observer_receives_reports_from_all_threads():
    silent, outer, inner = observer.current(), Recorder(), Recorder()
    with observing(outer):
        with pytest.raises(KeyboardInterrupt), observing(inner):
            thread = threading.Thread(target=lambda: observer.current().training_advanced("1"))
            thread.start()
            thread.join()
            raise KeyboardInterrupt
        observer.current().training_advanced("2")
    assert observer.current() is silent
    assert (outer.texts, inner.texts) == (["2"], ["1"])


def test_every_training_event_is_described():
    recorder = Recorder()
    progress = Progress(2000, recorder)
    progress.record_event("step", step=1, examples_per_second=0.0)
    progress.record_event("step", step=1000, examples_per_second=5120.4)
    progress.record_event("checkpoint", step=1000)
    progress.record_event("evaluation", step=1000, metrics={"loss": 0.25})
    # The last step's rate is unknown, and a cluster may make more steps than asked for.
    progress.record_event("step", step=2001, examples_per_second=0.0)
    progress.record_tasks("2/3 tasks")
    progress.report_end(restarts=2)
    progress.report_end(restarts=0)
    assert recorder.texts == [
        "step 1/2,000",
        "step 1,000/2,000, 5,120 examples/s",
        "step 1,000/2,000, 5,120 examples/s, checkpoint 1,000",
        "step 1,000/2,000, 5,120 examples/s, checkpoint 1,000, eval loss 0.25 at 1,000",
        "step 2,000/2,000, 5,120 examples/s, checkpoint 1,000, eval loss 0.25 at 1,000",
        "step 2,000/2,000, 5,120 examples/s, checkpoint 1,000, eval loss 0.25 at 1,000, 2/3 tasks",
        "2 restarts",
        "",
    ]


def test_notes_are_kept_until_the_training_ends():
    progress = Progress(10)
    progress.record_event("note", text="features has no price")
    assert progress.notes == ["features has no price"]
