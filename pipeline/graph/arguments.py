"""Arguments of a pipeline that depend on where it runs and may change from run to run."""

import dataclasses
import json

from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.metadata import ConnectionConfigType, sqlite_metadata_connection_config

from pipeline.config.configuration import Config
from pipeline.storage.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What `create_pipeline` needs beside the configuration.

    On this machine these are values; on a cluster most are runtime parameters of the run.

    Attributes:
        pipeline_name: the pipeline's name in the metadata store.
        pipeline_root: the directory of the artifacts.
        metadata: the connection to the metadata store; None on a cluster, where each step finds it.
        data_directory: the folder that holds the table.
        training_root: the directory under which every training keeps its checkpoints.
        serving_directory: where blessed models are deployed.
        max_steps: overrides the configured length of training; 0 keeps it.
        gates: other values for the bounds, as JSON; see
            `components.evaluator.criteria.Criteria.with_gates`.
        new_baseline: the reason not to compare with the deployed model; empty to compare.
    """

    pipeline_name: str
    pipeline_root: str
    metadata: ConnectionConfigType | None
    data_directory: str | RuntimeParameter
    training_root: str | RuntimeParameter
    serving_directory: str | RuntimeParameter
    max_steps: int | RuntimeParameter = 0
    gates: str | RuntimeParameter | None = None
    new_baseline: str | RuntimeParameter = ""


def of_workspace(
    config: Config,
    workspace: Workspace,
    plain: Workspace | None = None,
    new_baseline: str = "",
) -> Arguments:
    """Returns the arguments of a run in a workspace on this machine.

    Args:
        config: the problem's configuration.
        workspace: the workspace of the run.
        plain: the same workspace under a path without special characters, if its own has any.
        new_baseline: the reason not to compare with the deployed model; empty to compare.
    """
    plain = plain or workspace
    return Arguments(
        pipeline_name=config.name,
        pipeline_root=str(plain.artifacts),
        metadata=sqlite_metadata_connection_config(str(workspace.metadata)),
        data_directory=str(plain.plain_path(config.data.folder)),
        training_root=str(plain.training),
        serving_directory=str(config.push.directory or workspace.serving),
        new_baseline=new_baseline,
    )


def gates_of(config: Config) -> str:
    """Returns the configured bounds as JSON, in the form in which a run may override them."""
    return json.dumps({key: bound.values for key, bound in (config.gates or {}).items()})
