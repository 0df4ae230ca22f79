"""A problem as the commands for clusters take it: its configuration and its compiled workflow."""

import dataclasses
import pathlib
import sys
from collections.abc import Sequence

from models.errors import UserError
from pipeline.config.configuration import Config
from pipeline.config.kubeflow_config import Kubeflow
from pipeline.console import command_line, messages
from pipeline.kubeflow.compile import run_parameters
from pipeline.kubeflow.parameter_names import GATES
from pipeline.storage.workspace import Workspace


@dataclasses.dataclass(frozen=True)
class ClusterProblem:
    """A problem whose configuration has a `kubeflow` section.

    Attributes:
        config: the configuration.
        kubeflow: its `kubeflow` section.
        workspace: the workspace for the compiled files and for runs of them.
    """

    config: Config
    kubeflow: Kubeflow
    workspace: Workspace

    @classmethod
    def load(
        cls,
        path: pathlib.Path,
        workspace: pathlib.Path | None = None,
        overrides: Sequence[str] | None = None,
        preset: str | None = None,
    ) -> "ClusterProblem":
        """Loads a problem from the values of the options that all commands share.

        Raises:
            UserError: the configuration is wrong, or has no `kubeflow` section.
        """
        config = command_line.load(path, overrides, preset)
        if config.kubeflow is None:
            raise UserError(
                f"{path}: kubeflow: missing; add for example 'kubeflow: {{image: "
                f"registry.example.com/{config.name}:1.0, workspace: /mnt/pipelines/{config.name}, "
                "volumes: {pipelines: /mnt/pipelines}}'"
            )
        root = command_line.workspace(config, workspace).root / "kubeflow"
        return cls(config, config.kubeflow, Workspace(root))

    def workflow(self, file: pathlib.Path | None) -> pathlib.Path:
        """Returns the compiled workflow: `file`, or else the one in the workspace.

        Prints a note if the configuration has changed since that one was compiled.
        """
        if file:
            return file
        compiled, source = self.workspace.root / "workflow.yaml", self.config.file
        if compiled.exists() and compiled.stat().st_mtime < source.stat().st_mtime:
            newer, older = messages.shown(source.resolve()), messages.shown(compiled)
            print(
                f"note  {newer} is newer than {older}; to take over its changes, run `compile`",
                file=sys.stderr,
            )
        return compiled

    def parameters(self, options: Sequence[str] | None) -> dict[str, str]:
        """Parses and checks the values of the option `--param`.

        Raises:
            UserError: a value is wrong, see `run_parameters.check`.
        """
        parameters = command_line.pairs("--param", options)
        run_parameters.check(self.config, parameters)
        if GATES in parameters:
            parameters[GATES] = run_parameters.literal(parameters[GATES])
        return parameters
