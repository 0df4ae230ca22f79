"""The `run` command: executes a compiled workflow on this machine and prints the result."""

import contextlib
import errno
import itertools
import os
import pathlib
import signal
import time
import uuid
from collections.abc import Iterator, Sequence

from etils import epath
from rich.console import Console
from rich.markup import escape

from models.errors import BAD_INPUT, FAILED, INTERRUPTED, NOT_BLESSED, OK, UserError
from pipeline.config.kubeflow_config import OBJECT_STORES, Kubeflow
from pipeline.console import command_line, messages, shortage, terminal
from pipeline.console.node_progress import CACHED, Node, Progress
from pipeline.kubeflow.compile.cluster_problem import ClusterProblem
from pipeline.kubeflow.compile.workflow_file import Manifest
from pipeline.kubeflow.local_argo import isolation, metadata_server
from pipeline.kubeflow.local_argo.execution import Execution, StepFailed
from pipeline.kubeflow.local_argo.isolation import Isolation, Namespaces
from pipeline.kubeflow.local_argo.pod_environment import Cluster
from pipeline.kubeflow.local_argo.records import Records
from pipeline.kubeflow.local_argo.workflow import Workflow
from pipeline.kubeflow.parameter_names import PIPELINE_ROOT, SERVING_DIRECTORY, TRAINING_ROOT
from pipeline.kubeflow.step_container import REPOSITORY
from pipeline.storage import metadata_store
from pipeline.storage.workspace import Workspace

_LEAST_FREE = 64 << 10
"""Free bytes on the logs' disk below which a failed step counts as out of space."""
_METADATA_SERVICE = "metadata-grpc-configmap"  # the name in Kubeflow Pipelines


def run(
    problem: ClusterProblem,
    file: pathlib.Path | None,
    param: Sequence[str] | None,
    secret: Sequence[str] | None,
    parallel: int,
    image_root: pathlib.Path | None = None,
) -> int:
    """Executes a workflow and prints its verdict.

    Args:
        problem: the problem; its workspace holds the metadata, the volumes and the logs.
        file: the compiled workflow, which is executed unchanged; by default the workspace's.
        param: values that replace the workflow's defaults, as NAME=VALUE.
        secret: the cluster's secrets, as NAME/KEY=VALUE.
        parallel: the maximum number of steps that run at a time.
        image_root: the image's root file system as a directory; the steps run in it.

    Returns:
        An exit code of `models.errors`.

    Raises:
        UserError: an option is wrong, the workflow refers to something that does not exist, or the
            workspace is in use.
    """
    kubeflow, workspace = problem.kubeflow, problem.workspace
    secrets, parameters = _secrets(secret), problem.parameters(param)
    file = problem.workflow(file)
    if kubeflow.metadata:
        raise UserError(
            "kubeflow.metadata: steps would look for the store at that address, which `run` does "
            "not have; compile without it to run here"
        )
    manifest = Manifest.load(file)
    workflow = Workflow.of(manifest)
    isolated = isolation.Image(image_root) if image_root else isolation.best(REPOSITORY)
    name = f"{problem.config.name.replace('_', '-')}-{uuid.uuid4().hex[:8]}"
    with workspace.locked(), workspace.plain() as plain:
        # Mount options treat `,` and `:` in a path as separators; the plain path has neither.
        volumes = plain.root / "volumes"
        local = _local_directories(kubeflow, plain, isolated)
        values = manifest.parameters({**local, **parameters})
        folder = workspace.logs / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
        folder.mkdir()
        with terminal.logging_to(folder / "executor.log") as console:
            messages.say(console, f"logs: {messages.escaped(folder)}/")
            if not isinstance(isolated, Namespaces):
                messages.say(
                    console, "not root: steps run as plain processes and see this machine's files"
                )
            to_local_path = _path_converter(kubeflow, volumes, isolated)
            artifacts = to_local_path(values[PIPELINE_ROOT])
            messages.show_notes(console, _prepared(workspace, artifacts, moves=bool(local)))
            with metadata_server.serving(workspace.metadata) as port:
                progress = Progress(console, workflow.steps())

                def to_known_path(path: str) -> epath.Path:
                    """Returns a path that outlives the link of `Workspace.plain`."""
                    return epath.Path(
                        str(to_local_path(path)).replace(str(plain.root), str(workspace.root), 1)
                    )

                records = Records(name, port, to_known_path)
                service = {
                    "METADATA_GRPC_SERVICE_HOST": "127.0.0.1",
                    "METADATA_GRPC_SERVICE_PORT": str(port),
                }
                execution = Execution(
                    workflow,
                    name,
                    values,
                    Cluster(volumes, {_METADATA_SERVICE: service}, secrets),
                    isolated,
                    plain.logs / folder.name,
                    parallel,
                    progress,
                    lambda step, node: _note_cached(workflow, records, step, node),
                )
                return _execute(execution, records, console)


def _secrets(options: Sequence[str] | None) -> dict[str, dict[str, str]]:
    secrets: dict[str, dict[str, str]] = {}
    for path, value in command_line.pairs("--secret", options).items():
        name, separator, key = path.partition("/")
        if not separator:
            raise UserError(f"--secret {path}: expected NAME/KEY=VALUE, such as db/password=x")
        secrets.setdefault(name, {})[key] = value
    return secrets


def _execute(execution: Execution, records: Records, console: Console) -> int:
    started = time.monotonic()
    try:
        with _terminable(), execution.progress.shown():
            execution.run()
    except KeyboardInterrupt:
        messages.say(console, "\nInterrupted; the steps were ended. The same command continues.")
        return INTERRUPTED
    except UserError as error:
        raise UserError("\n".join(map(str, (error, *execution.further_errors)))) from error
    except StepFailed as failure:
        for failed in (failure, *execution.further_errors):
            if isinstance(failed, StepFailed):
                _show_failure(console, failed, execution.containers.least_free)
            else:
                messages.say(console, escape(str(failed)))
        return BAD_INPUT if failure.exit_code == BAD_INPUT else FAILED
    verdict, push = records.verdict(), records.push()
    if verdict is None:
        return OK
    messages.show_verdict(console, verdict)
    blessed = verdict["blessed"]
    messages.show_push(console, blessed, push.version, push.unchanged, push.kept_back)
    messages.say(console, f"[dim]{time.monotonic() - started:.0f} s[/]")
    return OK if push.version else NOT_BLESSED


def _prepared(workspace: Workspace, artifacts: epath.Path, moves: bool) -> list[str]:
    """Brings the metadata store in line with the artifacts; returns a sentence about each change.

    Args:
        workspace: holds the metadata store.
        artifacts: the directory of the artifacts on this machine.
        moves: whether the recorded paths are this machine's, so that they move with the workspace.
    """
    if str(artifacts).startswith(OBJECT_STORES):
        return []
    folder = pathlib.Path(artifacts)
    if moves:
        return metadata_store.prepare(workspace.metadata, folder)
    note = metadata_store.continue_numbers(workspace.metadata, folder)
    return [note] if note else []


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """Context manager: SIGTERM ends the steps as Ctrl-C does, so that none outlives the run."""

    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _local_directories(
    kubeflow: Kubeflow, workspace: Workspace, isolated: Isolation
) -> dict[str, str]:
    """Returns parameters with local directories in place of volumes that the steps cannot reach."""
    if isinstance(isolated, Namespaces) or kubeflow.workspace.startswith(OBJECT_STORES):
        return {}
    return {
        PIPELINE_ROOT: str(workspace.artifacts),
        TRAINING_ROOT: str(workspace.training),
        SERVING_DIRECTORY: str(workspace.serving),
    }


def _path_converter(kubeflow: Kubeflow, volumes: pathlib.Path, isolated: Isolation):
    """Returns a function that converts a step's path to this process's; buckets stay the same."""
    mounts = kubeflow.volumes if isinstance(isolated, Namespaces) else {}

    def to_local_path(path: str) -> epath.Path:
        for claim, mount in mounts.items():
            if pathlib.PurePath(path).is_relative_to(mount):
                return epath.Path(volumes / claim / os.path.relpath(path, mount))
        return epath.Path(path)

    return to_local_path


def _note_cached(workflow: Workflow, records: Records, step: str, node: Node) -> None:
    args = (
        workflow.templates[step]["container"].get("args", []) if step in workflow.templates else []
    )
    if "--node_id" in args and records.was_cached(args[args.index("--node_id") + 1]):
        node.state = CACHED


def _show_failure(console: Console, failure: StepFailed, least_free: float) -> None:
    log = failure.log.resolve()  # follows the temporary link of `Workspace.plain`
    messages.say(console, f"\n[bold red]{failure.step} failed[/] (exit code {failure.exit_code}):")
    cause = _cause(log)
    if advice := shortage.advice(RuntimeError("\n".join(cause))) or _full_disk(log, least_free):
        cause = [advice]
    for line in cause:
        messages.say(console, f"  {escape(line)}")
    messages.say(console, f"Its log: {messages.escaped(log)}")


def _full_disk(log: pathlib.Path, least_free: float) -> str | None:
    """Returns advice if the disk of a log was full, which the log itself may not say."""
    if least_free >= _LEAST_FREE:
        return None
    return shortage.advice(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(log.parent)))


def _cause(log: pathlib.Path) -> list[str]:
    """Returns the message after the last traceback in a log, or the log's last line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    traces = [i for i, line in enumerate(lines) if line.startswith("Traceback ")]
    behind = itertools.dropwhile(_is_indented, lines[traces[-1] + 1 :]) if traces else iter(())
    first = next(behind, None)
    if first is None:
        return lines[-1:]
    return [first, *itertools.takewhile(_is_indented, behind)]


def _is_indented(line: str) -> bool:
    return line.startswith(" ")
