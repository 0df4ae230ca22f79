"""Progress of a training: the events that its tasks report, and its description in words."""

import dataclasses
from collections.abc import Callable
from typing import Any

from models.progress.observer import Observer

EventCallback = Callable[..., None]
"""Callback that receives an `event` and its fields; see `Progress.record_event` for the events."""


@dataclasses.dataclass
class Progress:
    """Current state of a training.

    Attributes:
        max_steps: the step at which training ends.
        observer: receives the progress whenever it changes.
        step: the global step.
        examples_per_second: throughput of all tasks together.
        checkpoint: step of the last checkpoint; None before the first.
        evaluation: step and loss of the last evaluation; None before the first.
        tasks: description of the state of a cluster's tasks.
        notes: sentences that the user should read after the training.
    """

    max_steps: int
    observer: Observer = dataclasses.field(default_factory=Observer)
    step: int = 0
    examples_per_second: float = 0.0
    checkpoint: int | None = None
    evaluation: tuple[int, float] | None = None
    tasks: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)

    def record_event(self, event: str, **fields: Any) -> None:
        """Records an event of a task and reports the progress."""
        if event == "note":
            self.notes.append(fields["text"])
        elif event == "step":
            self.step = fields["step"]
            self.examples_per_second = fields["examples_per_second"] or self.examples_per_second
        elif event == "checkpoint":
            self.checkpoint = fields["step"]
        elif event == "evaluation":
            self.evaluation = fields["step"], fields["metrics"]["loss"]
        self.observer.training_advanced(str(self))

    def record_tasks(self, state: str) -> None:
        """Records the state of a cluster's tasks and reports the progress."""
        self.tasks = state
        self.observer.training_advanced(str(self))

    def report_end(self, restarts: int) -> None:
        """Reports the number of restarts, if any, after the training."""
        text = f"{restarts} restart{'s' if restarts > 1 else ''}" if restarts else ""
        self.observer.training_advanced(text)

    def __str__(self) -> str:
        parts = [f"step {min(self.step, self.max_steps):,}/{self.max_steps:,}"]
        if self.examples_per_second:
            parts.append(f"{self.examples_per_second:,.0f} examples/s")
        if self.checkpoint is not None:
            parts.append(f"checkpoint {self.checkpoint:,}")
        if self.evaluation:
            step, loss = self.evaluation
            parts.append(f"eval loss {loss:.4g} at {step:,}")
        if self.tasks:
            parts.append(self.tasks)
        return ", ".join(parts)
