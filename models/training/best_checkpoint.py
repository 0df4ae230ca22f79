"""The checkpoint with the lowest loss on the eval split, which will be exported."""

import dataclasses
import json
import math
import uuid
from collections.abc import Callable, Mapping

from etils import epath

from models import estimator_api
from models.errors import StepError


@dataclasses.dataclass(frozen=True)
class Record:
    """Record of the best checkpoint.

    Attributes:
        checkpoint: name of the checkpoint.
        step: its global step.
        loss: its loss on the eval split.
        metrics: its metrics on the eval split.
    """

    checkpoint: str
    step: int
    loss: float
    metrics: Mapping[str, float]


class BestCheckpoint(estimator_api.Exporter):
    """Exporter that keeps a copy of the checkpoint with the lowest eval loss.

    The copy is not affected by the rotation of checkpoints. An exporter is called after each
    evaluation; copying a checkpoint takes milliseconds but an export takes seconds, so the
    SavedModel is written once, at the end.
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
        """Copies the checkpoint if its loss is the lowest so far, and reports the evaluation."""
        step = int(eval_result["global_step"])
        self._directory.mkdir(parents=True, exist_ok=True)
        self._keep_if_best(checkpoint_path, eval_result)
        _write(self._evaluated, str(step))
        if self._on_evaluation:
            metrics = {name: float(value) for name, value in eval_result.items()}
            self._on_evaluation(step, metrics)

    def exists(self) -> bool:
        """Returns whether there is a best checkpoint."""
        return self._record.exists()

    def evaluated(self) -> int:
        """Returns the step of the last evaluation, or 0 before the first."""
        return int(self._evaluated.read_text()) if self._evaluated.exists() else 0

    def _keep_if_best(self, checkpoint_path, eval_result) -> None:
        loss = float(eval_result["loss"])
        if not math.isfinite(loss):
            return
        if self.exists() and self.record().loss <= loss:
            return
        source = epath.Path(checkpoint_path)
        for file in source.parent.glob(f"{source.name}.*"):
            file.copy(self._directory / file.name, overwrite=True)
        record = Record(
            checkpoint=source.name,
            step=int(eval_result["global_step"]),
            loss=loss,
            metrics={name: float(value) for name, value in eval_result.items()},
        )
        # Write the record last: a copy without it does not count.
        _write(self._record, json.dumps(dataclasses.asdict(record), indent=2))
        for file in self._directory.glob("model.ckpt-*"):
            if not file.name.startswith(f"{source.name}."):
                file.unlink(missing_ok=True)

    def checkpoint(self) -> str:
        """Returns the path of the best checkpoint.

        Raises:
            StepError: no evaluation gave a finite loss.
        """
        return str(self._directory / self.record().checkpoint)

    def record(self) -> Record:
        """Returns the record of the best checkpoint.

        Raises:
            StepError: no evaluation gave a finite loss.
        """
        if not self._record.exists():
            raise StepError(
                "no evaluation gave a finite loss: lower model.params.learning_rate, or look for "
                "extreme values in the label"
            )
        return Record(**json.loads(self._record.read_text()))


def _write(path: epath.Path, text: str) -> None:
    """Replaces a file atomically."""
    # An operator may start an evaluator whose last evaluations the chief makes as well.
    beside = path.with_suffix(f".{uuid.uuid4().hex}.partial")
    beside.write_text(text)
    beside.replace(path)
