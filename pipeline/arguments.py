"""What a pipeline takes from the place where it runs, and from one run to the next."""

import dataclasses
import json

from tfx.orchestration.data_types import RuntimeParameter
from tfx.orchestration.metadata import ConnectionConfigType, sqlite_metadata_connection_config

from pipeline.config import Config
from pipeline.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class Arguments:
    """Values on this machine, parameters of a run on a cluster.

    Attributes:
        pipeline_name: what the metadata store knows it by.
        pipeline_root: where the artifacts go.
        metadata: how to reach the metadata store; on a cluster each step finds it itself.
        data_directory: the folder of the table.
        training_root: the directory of all trainings' checkpoints.
        serving_directory: where blessed models go.
        max_steps: replaces the configuration's length of training; 0 keeps that.
        gates: see `components.evaluator.judgement.Judgement.with_gates`.
        new_baseline: why the deployed model is set aside in this run; empty if it is compared with.
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
    """Returns the values on this machine.

    Args:
        config: the problem.
        workspace: where it is run.
        plain: the same one under a path that TFX takes as it is, if that is another.
        new_baseline: why the deployed model is set aside; empty if it is compared with.
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
    """The configuration's bounds as the Evaluator takes them, to be given other values."""
    bounds = config.gates or {}
    return json.dumps({key: bound.dict(exclude_none=True) for key, bound in bounds.items()})
