"""TensorBoard for the trainings of a workspace."""

import os
import sys
from typing import NoReturn

from models.errors import UserError
from pipeline.storage.workspace import Workspace


def show(workspace: Workspace, port: int) -> NoReturn:
    """Replaces this process with TensorBoard, reachable from this machine only.

    Args:
        workspace: the workspace whose trainings are shown. TensorBoard lists each training, its
            evaluations and each task of its cluster as separate runs.
        port: the port to serve on; 0 picks a free one.

    Raises:
        UserError: the workspace has no training yet.
    """
    if not any(workspace.training.rglob("events.out.tfevents.*")):
        raise UserError(
            f"workspace {workspace.root}: nothing has been trained yet; use `run` first, or choose "
            "another with --workspace"
        )
    arguments = ["--logdir", str(workspace.training), "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-m", "tensorboard.main", *arguments]
    sys.stdout.flush()
    os.execv(command[0], command)
