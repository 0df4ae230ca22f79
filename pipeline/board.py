"""TensorBoard on all that the trainings of a workspace have written."""

import os
import sys
from typing import NoReturn

from pipeline.errors import UserError
from pipeline.workspace import Workspace


def show(workspace: Workspace, port: int) -> NoReturn:
    """Becomes TensorBoard, which serves on this machine only.

    Args:
        workspace: of the trainings; each is a run there, its evaluations and the tasks of its
            cluster are runs beside it.
        port: 0 takes a free one.

    Raises:
        UserError: nothing was trained yet.
    """
    if not any(workspace.training.rglob("events.out.tfevents.*")):
        raise UserError(
            f"workspace {workspace.root}: nothing was trained yet; use `run` first, or choose "
            "another with --workspace"
        )
    arguments = ["--logdir", str(workspace.training), "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "tensorboard.main", *arguments]
    sys.stdout.flush()
    os.execv(command[0], command)
