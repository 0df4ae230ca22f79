"""The results of a run, read from its artifacts: verdict, deployment, search and training."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from etils import epath
from tfx.orchestration import metadata
from tfx.orchestration.portable.mlmd import execution_lib
from tfx.types import Artifact

from components import table_example_gen
from components.artifact_names import KEPT_BACK, UNCHANGED, VERDICT_FILE
from components.tuner import executor as tuner
from models.training.trainer import RECORD
from pipeline.graph import nodes
from pipeline.storage.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        verdict: see `components.evaluator.verdict.make`.
        pushed: the version's directory if this run's model is deployed; None if it is not.
        unchanged: whether that version was already deployed before this run.
        kept_back: why a blessed model was not pushed; empty if it was.
        quarantined, quarantine: the number of unreadable rows of the table, and their folder.
    """

    verdict: dict[str, Any]
    pushed: epath.Path | None
    unchanged: bool
    kept_back: str
    quarantined: int
    quarantine: epath.Path

    @property
    def blessed(self) -> bool:
        """Whether the model passed every bound."""
        return self.verdict["blessed"]


def read(workspace: Workspace, executions: Mapping[str, int]) -> Outcome:
    """Reads the outcome of a run from the metadata store.

    Args:
        workspace: the workspace of the run.
        executions: the execution ids of the run's nodes, including cached ones.
    """
    config = metadata.sqlite_metadata_connection_config(str(workspace.metadata))
    with metadata.Metadata(config) as store:
        evaluation = _output(store, executions[nodes.EVALUATOR], "evaluation")
        pushed = _output(store, executions[nodes.PUSHER], "pushed_model")
        examples = _output(store, executions[nodes.EXAMPLE_GEN], "examples")
    text = (epath.Path(evaluation.uri) / VERDICT_FILE).read_text()
    aside = (
        examples.get_int_custom_property(table_example_gen.QUARANTINED),
        epath.Path(examples.uri) / table_example_gen.QUARANTINE,
    )
    destination = pushed.get_string_custom_property("pushed_destination")
    return Outcome(
        json.loads(text),
        epath.Path(destination) if destination else None,
        bool(pushed.get_int_custom_property(UNCHANGED)),
        pushed.get_string_custom_property(KEPT_BACK),
        *aside,
    )


def tuning(workspace: Workspace, executions: Mapping[str, int]) -> dict[str, Any]:
    """Reads the Tuner's results: `tune` (its settings), `best` (a trial's number) and `trials`."""
    config = metadata.sqlite_metadata_connection_config(str(workspace.metadata))
    with metadata.Metadata(config) as store:
        artifact = _output(store, executions[nodes.TUNER], tuner.RESULTS)
    return json.loads((epath.Path(artifact.uri) / tuner.TRIALS_FILE).read_text())


def training(workspace: Workspace, executions: Mapping[str, int]) -> dict[str, Any]:
    """Reads the Trainer's record of the training; see `models.training.trainer.run_fn`."""
    config = metadata.sqlite_metadata_connection_config(str(workspace.metadata))
    with metadata.Metadata(config) as store:
        artifact = _output(store, executions[nodes.TRAINER], "model_run")
    return json.loads((epath.Path(artifact.uri) / RECORD).read_text())


def _output(store: metadata.Metadata, execution: int, key: str) -> Artifact:
    (artifact,) = execution_lib.get_output_artifacts(store, execution)[key]
    return artifact
