"""Execution of a workflow: starts steps when their dependencies are done, retries failed ones."""

import contextlib
import dataclasses
import pathlib
import shutil
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any

from models.errors import UserError
from pipeline.console.node_progress import SKIPPED, Node, Progress
from pipeline.kubeflow.local_argo.containers import Containers
from pipeline.kubeflow.local_argo.isolation import Isolation
from pipeline.kubeflow.local_argo.pod_environment import Cluster, Pod
from pipeline.kubeflow.local_argo.retry_strategy import RetryStrategy
from pipeline.kubeflow.local_argo.workflow import Workflow, is_true, join, substitute

SUCCEEDED, FAILED = "Succeeded", "Failed"

_WORKFLOW_LABEL = "workflows.argoproj.io/workflow"


class StepFailed(Exception):
    """A step has failed for good: it has no retries left.

    Attributes:
        step: the path of the step.
        exit_code: the exit code of its last attempt.
        log: the step's log file.
    """

    def __init__(self, step: str, exit_code: int, log: pathlib.Path):
        super().__init__(f"{step} ended with exit code {exit_code}; its log: {log}")
        self.step, self.exit_code, self.log = step, exit_code, log


@dataclasses.dataclass
class Execution:
    """One run of a workflow.

    Attributes:
        workflow: the workflow to run.
        name: the name of the run, which is unique in a cluster.
        parameters: the values of the workflow's parameters.
        cluster: the objects that pods refer to.
        isolation: how containers run.
        folder: holds the logs, and what steps write outside their volumes while they run.
        parallel: the maximum number of containers that run at a time.
        progress: receives the start and end of each step, by path.
        on_done: called after each successful step with its path and its node in the progress.
        labels: labels of every pod.
    """

    workflow: Workflow
    name: str
    parameters: Mapping[str, str]
    cluster: Cluster
    isolation: Isolation
    folder: pathlib.Path
    parallel: int
    progress: Progress
    on_done: Callable[[str, Node], None] = lambda step, node: None
    labels: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        self.uid = str(uuid.uuid4())
        # Beside the error that `run` raises: those of parallel steps and of `onExit`.
        self.further_errors: list[BaseException] = []
        self.containers = Containers(
            self.cluster,
            self.isolation,
            self.workflow.spec.get("volumes", []),
            self.folder,
            self.parallel,
        )

    def run(self) -> None:
        """Executes the workflow and then, unless it was stopped, its `onExit` template.

        Raises:
            StepFailed: a step failed for good; raised once the steps beside it have ended.
            UserError: the workflow refers to something that does not exist.
        """
        scope = {f"workflow.parameters.{key}": value for key, value in self.parameters.items()}
        scope |= {"workflow.name": self.name, "workflow.uid": self.uid}
        try:
            self._template(self.workflow.spec["entrypoint"], dict(self.parameters), scope, "")
        except Exception:
            try:
                self._on_exit(scope, FAILED)
            except (StepFailed, UserError) as error:
                self.further_errors.append(error)
            raise
        self._on_exit(scope, SUCCEEDED)

    def _on_exit(self, scope: Mapping[str, str], status: str) -> None:
        on_exit = self.workflow.spec.get("onExit")
        if on_exit and not self.containers.is_stopped:
            self._template(on_exit, {}, {**scope, "workflow.status": status}, "")

    def stop(self) -> None:
        """Kills every container, so that `run` ends."""
        self.containers.stop()

    def _template(
        self, name: str, arguments: Mapping[str, str], scope: Mapping[str, str], path: str
    ) -> dict[str, str]:
        """Executes a template and returns the values of its output parameters."""
        template = self.workflow.templates[name]
        inner = dict(scope)
        for item in template.get("inputs", {}).get("parameters", []):
            value = arguments.get(item["name"], item.get("value", item.get("default")))
            inner[f"inputs.parameters.{item['name']}"] = str(value)
        if "dag" in template:
            self._dag(template, inner, path)
            return {}
        return self._container(template, inner, path or name)

    def _dag(self, template: Mapping[str, Any], scope: Mapping[str, str], path: str) -> None:
        tasks = {task["name"]: task for task in template["dag"]["tasks"]}
        scope = dict(scope)
        ended: set[str] = set()
        errors: list[BaseException] = []
        with futures.ThreadPoolExecutor(len(tasks)) as pool:
            running: dict[futures.Future, str] = {}
            try:
                while True:
                    for name in list(tasks) if not errors else []:
                        if ended.issuperset(tasks[name].get("dependencies", [])):
                            task = tasks.pop(name)
                            running[pool.submit(self._task, task, scope, path)] = name
                    if not running:
                        break
                    for future in futures.wait(running, return_when="FIRST_COMPLETED").done:
                        name = running.pop(future)
                        ended.add(name)
                        if error := future.exception():
                            # Like Argo: running tasks may finish, but no others start.
                            errors.append(error)
                        else:
                            scope.update(future.result())
            except BaseException:
                self.stop()
                raise
        for task in tasks.values():
            self._skip(task["template"], join(path, task["name"]))
        if errors:
            self.further_errors += errors[1:]
            raise errors[0]

    def _task(self, task: Mapping[str, Any], scope: Mapping[str, str], path: str) -> dict[str, str]:
        task_path = join(path, task["name"])
        if "when" in task and not is_true(substitute(task["when"], scope)):
            self._skip(task["template"], task_path)
            return {}
        parameters = substitute(task.get("arguments", {}).get("parameters", []), scope)
        arguments = {item["name"]: item["value"] for item in parameters}
        outputs = self._template(task["template"], arguments, scope, task_path)
        name = task["name"]
        return {f"tasks.{name}.outputs.parameters.{key}": value for key, value in outputs.items()}

    def _skip(self, template: str, path: str) -> None:
        definition = self.workflow.templates[template]
        if "dag" not in definition:
            self.progress.nodes[path].state = SKIPPED
            return
        for task in definition["dag"]["tasks"]:
            self._skip(task["template"], join(path, task["name"]))

    def _container(
        self, template: Mapping[str, Any], scope: Mapping[str, str], path: str
    ) -> dict[str, str]:
        log = self.folder / f"{path.replace('/', '.')}.log"
        scratch = self.folder / f".{path.replace('/', '.')}"
        retries = RetryStrategy.of(template)
        with contextlib.ExitStack() as shown:
            node: Node | None = None
            for attempt in range(retries.limit + 1):
                with self.containers.slot(), _temporary(scratch):
                    node = node or shown.enter_context(self.progress.running(path))
                    pod = self._pod(template, {**scope, "retries": str(attempt)}, path, scratch)
                    code, outputs = self.containers.run(path, pod, log)
                if code == 0:
                    self.on_done(path, node)
                    return outputs
                if attempt == retries.limit or code == retries.final_code:
                    raise StepFailed(path, code, log)
                node.note = f"exit code {code}; try {attempt + 2} of {retries.limit + 1}"
                self.containers.wait(retries.wait(attempt))
        raise AssertionError("a limit below zero")

    def _pod(self, template, scope, path: str, scratch: pathlib.Path) -> Pod:
        name = f"{self.name}-{path.replace('/', '-')}-{uuid.uuid4().hex[:8]}"
        template = substitute(template, {**scope, "pod.name": name})
        metadata = template.get("metadata", {})
        labels = {**self.labels, **metadata.get("labels", {}), _WORKFLOW_LABEL: self.name}
        return Pod(
            name, str(uuid.uuid4()), labels, metadata.get("annotations", {}), template, scratch
        )


@contextlib.contextmanager
def _temporary(folder: pathlib.Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder)
