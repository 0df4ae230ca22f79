"""Progress of a training: what a task tells, and its description in words."""

import dataclasses
from collections.abc import Callable
from typing import Any

Tell = Callable[..., None]
"""Callback that receives an `event` and its fields; see `Progress.heard` for the events."""


def on_progress(text: str) -> None:
    """Receives a training's progress as text; a console replaces this function with its own."""


@dataclasses.dataclass
class Progress:
    """Current state of a training.

    Attributes:
        max_steps: the step at which training ends.
        step: the global step.
        examples_per_second: throughput of all tasks together.
        checkpoint: step of the last checkpoint; None before the first.
        evaluation: step and loss of the last evaluation; None before the first.
        tasks: description of the state of a cluster's tasks.
        notes: sentences that the user should read after the training.
    """

    max_steps: int
    step: int = 0
    examples_per_second: float = 0.0
    checkpoint: int | None = None
    evaluation: tuple[int, float] | None = None
    tasks: str = ""
    notes: list[str] = dataclasses.field(default_factory=list)

    def heard(self, event: str, **message: Any) -> None:
        """Records an event and reports the progress."""
        if event == "note":
            self.notes.append(message["text"])
        elif event == "step":
            self.step = message["step"]
            self.examples_per_second = message["examples_per_second"] or self.examples_per_second
        elif event == "checkpoint":
            self.checkpoint = message["step"]
        elif event == "evaluation":
            self.evaluation = message["step"], message["metrics"]["loss"]
        on_progress(str(self))

    def told(self, tasks: str) -> None:
        """Records the state of a cluster's tasks and reports the progress."""
        self.tasks = tasks
        on_progress(str(self))

    def ended(self, restarts: int = 0) -> None:
        """Reports the number of restarts, if any, after the training."""
        on_progress(f"{restarts} restart{'s' if restarts > 1 else ''}" if restarts else "")

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
