"""The checkpoint that is exported: the one that did best on the eval split."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

from etils import epath

from models import estimator_api


class BestCheckpoint(estimator_api.Exporter):
    """Keeps the checkpoint with the lowest eval loss, apart from those that rotate.

    An exporter is called after each evaluation. Copying a checkpoint takes milliseconds where an
    export takes seconds, so the SavedModel is made once, at the end.
    """

    name = "best"

    def __init__(
        self,
        directory: epath.Path,
        on_evaluation: Callable[[int, Mapping[str, float]], None] | None = None,
    ):
        self._directory = directory
        self._record = directory / "best.json"
        self._evaluated = directory / "evaluated"
        self._on_evaluation = on_evaluation

    def export(self, estimator, export_path, checkpoint_path, eval_result, is_the_final_export):
        """Copies `checkpoint_path` if its loss is the lowest so far."""
        step = int(eval_result["global_step"])
        self._directory.mkdir(parents=True, exist_ok=True)
        self._keep_if_best(checkpoint_path, eval_result)
        _write(self._evaluated, str(step))
        if self._on_evaluation:
            metrics = {name: float(value) for name, value in eval_result.items()}
            self._on_evaluation(step, metrics)

    def exists(self) -> bool:
        """Whether there is one."""
        return self._record.exists()

    def evaluated(self) -> int:
        """The step that was evaluated last, 0 if none was."""
        return int(self._evaluated.read_text()) if self._evaluated.exists() else 0

    def _keep_if_best(self, checkpoint_path, eval_result) -> None:
        loss = float(eval_result["loss"])
        if not math.isfinite(loss):
            return
        if self._record.exists() and json.loads(self._record.read_text())["loss"] <= loss:
            return
        source = epath.Path(checkpoint_path)
        for file in source.parent.glob(f"{source.name}.*"):
            file.copy(self._directory / file.name, overwrite=True)
        record = {
            "checkpoint": source.name,
            "step": int(eval_result["global_step"]),
            "loss": loss,
            "metrics": {name: float(value) for name, value in eval_result.items()},
        }
        # The record is what makes the copy count.
        _write(self._record, json.dumps(record, indent=2))
        for file in self._directory.glob("model.ckpt-*"):
            if not file.name.startswith(f"{source.name}."):
                file.unlink()

    def checkpoint(self) -> str:
        """Path of the best checkpoint.

        Raises:
            ValueError: no evaluation gave a finite loss.
        """
        return str(self._directory / self.record()["checkpoint"])

    def record(self) -> dict[str, Any]:
        """The best checkpoint's name, step, loss and metrics.

        Raises:
            ValueError: no evaluation gave a finite loss.
        """
        if not self._record.exists():
            raise ValueError(
                "no evaluation gave a finite loss: lower model.params.learning_rate, or look for "
                "extreme values in the label"
            )
        return json.loads(self._record.read_text())


def _write(path: epath.Path, text: str) -> None:
    """Changes a file in one step."""
    beside = path.with_suffix(".partial")
    beside.write_text(text)
    beside.replace(path)
