"""The running containers of a workflow: starts, watches and kills them, collects their outputs."""

import contextlib
import pathlib
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.kubeflow.local_argo import isolation
from pipeline.kubeflow.local_argo.isolation import Command, Isolation
from pipeline.kubeflow.local_argo.pod_environment import Cluster, Pod

_POLL_SECONDS = 0.5
"""Seconds between checks of a running container."""
_NO_OUTPUT = 64
"""The exit code of a step that lacks a declared output, as in Argo."""


class Stopped(KeyboardInterrupt):
    """The execution was stopped, see `Containers.stop`."""


class Containers:
    """The containers of one execution.

    Args:
        cluster: the objects that pods refer to.
        isolation: how containers run.
        volumes: the workflow's volumes, in addition to the pods' own.
        folder: receives the artifacts of the steps, under `outputs`.
        parallel: the maximum number of containers that run at a time.

    Attributes:
        least_free: the least free space in bytes that `folder` had while containers ran.
    """

    def __init__(
        self,
        cluster: Cluster,
        isolation: Isolation,
        volumes: Sequence[Mapping[str, Any]],
        folder: pathlib.Path,
        parallel: int,
    ):
        self.least_free = float("inf")
        self._cluster = cluster
        self._isolation = isolation
        self._volumes = volumes
        self._folder = folder
        self._slots = threading.Semaphore(parallel)
        self._stop = threading.Event()
        self._running: set[subprocess.Popen] = set()
        self._lock = threading.Lock()

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stop.is_set()

    def stop(self) -> None:
        """Kills every container; none starts any more."""
        self._stop.set()
        with self._lock:
            for process in self._running:
                isolation.kill(process)

    def wait(self, seconds: float) -> None:
        """Waits; raises `Stopped` as soon as the execution is stopped."""
        if self._stop.wait(seconds):
            raise Stopped()

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Context manager: waits until another container may run, which needs one slot."""
        with self._slots:
            self.wait(0)
            yield

    def run(self, step: str, pod: Pod, log: pathlib.Path) -> tuple[int, dict[str, str]]:
        """Runs a pod and returns its exit code and output parameters.

        Raises:
            UserError: the pod refers to something that does not exist.
            Stopped: the execution was stopped.
        """
        container = pod.container
        command = Command(
            argv=[*container.get("command", []), *container.get("args", [])],
            environment=pod.environment(self._cluster),
            mounts=pod.mounts(self._cluster, self._volumes),
            scratch=pod.scratch,
            working_directory=container.get("workingDir"),
        )
        with open(log, "ab") as log_file:
            with self._lock:
                self.wait(0)
                process = self._isolation.start(command, log_file)
                self._running.add(process)
            try:
                code = self._exit_code(process)
            finally:
                isolation.kill(process)
                with self._lock:
                    self._running.discard(process)
            self.wait(0)
            return (code, {}) if code else self._outputs(step, pod, command, log_file)

    def _exit_code(self, process: subprocess.Popen) -> int:
        """Waits for a container to end, and records the least free disk space in the meantime.

        Later would be too late: the files of a failed step are removed, and its log may say
        nothing for want of space.
        """
        while True:
            self.least_free = min(self.least_free, shutil.disk_usage(self._folder).free)
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = process.wait(timeout=_POLL_SECONDS)
                # Killed by a signal: containers report 128 + signal.
                return 128 - code if code < 0 else code

    def _outputs(
        self, step: str, pod: Pod, command: Command, log: Any
    ) -> tuple[int, dict[str, str]]:
        """Collects a pod's outputs; without a required one the step has failed, as in Argo."""
        outputs = pod.template.get("outputs", {})
        for artifact in outputs.get("artifacts", []):
            file = self._isolation.host_path(command, artifact["path"])
            if file.exists():
                kept = self._folder / "outputs" / step / file.name
                kept.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, kept)
            elif not artifact.get("optional"):
                log.write(f"output {artifact['name']}: no file {artifact['path']}\n".encode())
                return _NO_OUTPUT, {}
        values = {}
        for parameter in outputs.get("parameters", []):
            file = self._isolation.host_path(command, parameter["valueFrom"]["path"])
            if not file.exists():
                log.write(f"output {parameter['name']}: no file {file}\n".encode())
                return _NO_OUTPUT, {}
            values[parameter["name"]] = file.read_text(encoding="utf-8")
        return 0, values
