"""Execution of a workflow: starts steps when their dependencies are done, retries failed ones."""

import contextlib
import dataclasses
import pathlib
import re
import shutil
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any

from models.errors import UserError
from pipeline.console.node_progress import SKIPPED, Node, Progress
from pipeline.kubeflow.executor import isolation
from pipeline.kubeflow.executor.isolation import Command, Isolation
from pipeline.kubeflow.executor.pod_environment import Cluster, Pod
from pipeline.kubeflow.executor.workflow import Workflow, filled_in, holds, join

SUCCEEDED, FAILED = "Succeeded", "Failed"

_BETWEEN_LOOKS = 0.5
"""Seconds between checks of a running container."""
_NO_OUTPUT = 64
"""The exit code of a step that lacks a declared output, as in Argo."""

_WORKFLOW_LABEL = "workflows.argoproj.io/workflow"
_RETRIED_UNLESS = re.compile(r"asInt\(lastRetry\.exitCode\) != (\d+)")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)?")
_SECONDS = {"ms": 0.001, "s": 1, None: 1, "m": 60, "h": 3600}


class StepFailed(Exception):
    """A step has failed and is not retried any more.

    Attributes:
        step: the path of the step.
        exit_code: the exit code of its last attempt.
        log: the step's log file.
    """

    def __init__(self, step: str, exit_code: int, log: pathlib.Path):
        super().__init__(f"{step} ended with exit code {exit_code}; its log: {log}")
        self.step, self.exit_code, self.log = step, exit_code, log


class _Stopped(KeyboardInterrupt):
    """The execution was stopped, see `Execution.stop`."""


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
        self.least_free = float("inf")  # bytes, on the disk of `folder`, while containers ran
        self.exit_error: Exception | None = None  # of `onExit`, after a step that failed
        self._slots = threading.Semaphore(self.parallel)
        self._stop = threading.Event()
        self._running: set[Any] = set()
        self._lock = threading.Lock()

    def run(self) -> None:
        """Executes the workflow and then, unless it was stopped, its `onExit` template.

        Raises:
            StepFailed: a step failed for good; raised after the steps beside it have ended.
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
                self.exit_error = error
            raise
        self._on_exit(scope, SUCCEEDED)

    def _on_exit(self, scope: Mapping[str, str], status: str) -> None:
        on_exit = self.workflow.spec.get("onExit")
        if on_exit and not self._stop.is_set():
            self._template(on_exit, {}, {**scope, "workflow.status": status}, "")

    def stop(self) -> None:
        """Kills every container, so that `run` ends."""
        self._stop.set()
        with self._lock:
            for process in self._running:
                isolation.kill(process)

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
        error: BaseException | None = None
        with futures.ThreadPoolExecutor(len(tasks)) as pool:
            running: dict[futures.Future, str] = {}
            try:
                while True:
                    for name in list(tasks) if error is None else []:
                        if ended.issuperset(tasks[name].get("dependencies", [])):
                            task = tasks.pop(name)
                            running[pool.submit(self._task, task, scope, path)] = name
                    if not running:
                        break
                    for future in futures.wait(running, return_when="FIRST_COMPLETED").done:
                        name = running.pop(future)
                        ended.add(name)
                        if failed := future.exception():
                            # Like Argo: running tasks may finish, but no others start.
                            error = error or failed
                        else:
                            scope.update(future.result())
            except BaseException:
                self.stop()
                raise
        for task in tasks.values():
            self._skip(task["template"], join(path, task["name"]))
        if error:
            raise error

    def _task(self, task: Mapping[str, Any], scope: Mapping[str, str], path: str) -> dict[str, str]:
        task_path = join(path, task["name"])
        if "when" in task and not holds(filled_in(task["when"], scope)):
            self._skip(task["template"], task_path)
            return {}
        parameters = filled_in(task.get("arguments", {}).get("parameters", []), scope)
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
        retries = template.get("retryStrategy", {})
        limit = int(retries.get("limit", 0)) if retries else 0
        scratch = self.folder / f".{path.replace('/', '.')}"
        with contextlib.ExitStack() as shown:
            node: Node | None = None
            for attempt in range(limit + 1):
                with self._slot(), _folder(scratch):
                    node = node or shown.enter_context(self.progress.running(path))
                    pod = self._pod(template, {**scope, "retries": str(attempt)}, path, scratch)
                    code, outputs = self._attempt(path, pod, log)
                if code == 0:
                    self.on_done(path, node)
                    return outputs
                if attempt == limit or not _is_retried(retries, code):
                    raise StepFailed(path, code, log)
                node.note = f"exit code {code}; try {attempt + 2} of {limit + 1}"
                if self._stop.wait(_backoff(retries, attempt)):
                    raise _Stopped()
        raise AssertionError("a limit below zero")

    @contextlib.contextmanager
    def _slot(self) -> Iterator[None]:
        with self._slots:
            if self._stop.is_set():
                raise _Stopped()
            yield

    def _pod(self, template, scope, path: str, scratch: pathlib.Path) -> Pod:
        name = f"{self.name}-{path.replace('/', '-')}-{uuid.uuid4().hex[:8]}"
        template = filled_in(template, {**scope, "pod.name": name})
        metadata = template.get("metadata", {})
        labels = {**self.labels, **metadata.get("labels", {}), _WORKFLOW_LABEL: self.name}
        return Pod(
            name, str(uuid.uuid4()), labels, metadata.get("annotations", {}), template, scratch
        )

    def _attempt(self, step: str, pod: Pod, log: pathlib.Path) -> tuple[int, dict[str, str]]:
        """Runs a pod and returns its exit code and output parameters."""
        container = pod.container
        command = Command(
            argv=[*container.get("command", []), *container.get("args", [])],
            environment=pod.environment(self.cluster),
            mounts=pod.mounts(self.cluster, self.workflow.spec.get("volumes", [])),
            scratch=pod.scratch,
            working_directory=container.get("workingDir"),
        )
        with open(log, "ab") as out:
            with self._lock:
                if self._stop.is_set():
                    raise _Stopped()
                process = self.isolation.start(command, out)
                self._running.add(process)
            try:
                code = self._wait(process)
            finally:
                isolation.kill(process)
                with self._lock:
                    self._running.discard(process)
            if self._stop.is_set():
                raise _Stopped()
            if code < 0:
                code = 128 - code  # killed by a signal; containers report 128 + signal
            return (code, {}) if code else self._outputs(step, pod, command, out)

    def _wait(self, process: subprocess.Popen) -> int:
        """Waits for a container to end, and records the least free disk space in the meantime.

        Later would be too late: the files of a failed step are removed, and its log may say
        nothing for want of space.
        """
        while True:
            self.least_free = min(self.least_free, shutil.disk_usage(self.folder).free)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return process.wait(timeout=_BETWEEN_LOOKS)

    def _outputs(
        self, step: str, pod: Pod, command: Command, log: Any
    ) -> tuple[int, dict[str, str]]:
        """Collects a pod's outputs; without a required one the step has failed, as in Argo."""
        outputs = pod.template.get("outputs", {})
        for artifact in outputs.get("artifacts", []):
            file = self.isolation.found(command, artifact["path"])
            if file.exists():
                kept = self.folder / "outputs" / step / file.name
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, kept)
            elif not artifact.get("optional"):
                log.write(f"output {artifact['name']}: no file {artifact['path']}\n".encode())
                return _NO_OUTPUT, {}
        values = {}
        for parameter in outputs.get("parameters", []):
            file = self.isolation.found(command, parameter["valueFrom"]["path"])
            if not file.exists():
                log.write(f"output {parameter['name']}: no file {file}\n".encode())
                return _NO_OUTPUT, {}
            values[parameter["name"]] = file.read_text(encoding="utf-8")
        return 0, values


@contextlib.contextmanager
def _folder(folder: pathlib.Path) -> Iterator[None]:
    folder.mkdir(parents=True)
    try:
        yield
    finally:
        shutil.rmtree(folder)


def _is_retried(retries: Mapping[str, Any], code: int) -> bool:
    """Returns whether the step of a container with this exit code is retried, as in Argo."""
    if retries.get("retryPolicy", "OnFailure") not in ("Always", "OnFailure"):
        return False
    match = _RETRIED_UNLESS.fullmatch(retries.get("expression", ""))
    return not match or code != int(match.group(1))


def _backoff(retries: Mapping[str, Any], attempt: int) -> float:
    backoff = retries.get("backoff", {})
    first = _seconds(str(backoff.get("duration", "0")))
    longest = _seconds(str(backoff.get("maxDuration", "24h")))
    return min(first * float(backoff.get("factor") or 1) ** attempt, longest)


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text)
    assert match, text
    return float(match.group(1)) * _SECONDS[match.group(2)]
