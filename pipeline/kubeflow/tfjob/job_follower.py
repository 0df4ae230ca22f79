"""Follows a TFJob: logs what changes, and decides when it has succeeded or failed."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from absl import logging
from etils import epath

from models.distributed.supervisor import RemoteTraceback, TaskError
from models.progress.training_progress import Progress
from pipeline.kubeflow.tfjob import task_states
from pipeline.kubeflow.tfjob.task_states import Pod
from pipeline.kubeflow.tfjob.tfjob_client import Jobs

_VERDICT_SECONDS = 60.0
"""The time that the operator has to fail a job after one of its tasks has failed for good."""
_NOTICE_SECONDS = 120.0
"""The time that a running operator has to notice a job."""
_LOG_LINES = 500


class JobEnded(Exception):
    """The job failed by itself or was deleted by someone else, so it is not deleted here."""

    def __init__(self, error: TaskError):
        self.error = error


def deleted(name: str) -> JobEnded:
    """Returns the error that the job was deleted by someone else."""
    return JobEnded(TaskError(f"TFJob {name}: was deleted by someone, or with its run"))


class Follower:
    """Follower of one TFJob; logs what changes."""

    def __init__(
        self,
        jobs: Jobs,
        ask: Callable[..., Any],
        job: Mapping[str, Any],
        uid: str,
        directory: epath.Path,
        progress: Progress,
    ):
        self.restarts: list[dict[str, Any]] = []
        self._jobs = jobs
        self._ask = ask
        self._name = job["metadata"]["name"]
        self._uid = uid
        self._tasks = sum(r["replicas"] for r in job["spec"]["tfReplicaSpecs"].values())
        self._directory = directory
        self._progress = progress
        self._pods: dict[str, Pod] = {}
        self._logged: set[tuple[str, ...]] = set()
        self._shown = ""
        self._began = time.monotonic()
        self._broken: float | None = None

    def has_succeeded(self, max_restarts: int) -> bool:
        """Checks the job once; returns whether it has succeeded.

        Raises:
            TaskError: waiting any longer is useless.
            JobEnded: the job has failed or was deleted.
        """
        job, pods = self._ask(self._jobs.read, self._name), self._ask(self._jobs.pods, self._name)
        if job is None or job["metadata"]["uid"] != self._uid:
            raise deleted(self._name)
        status = job.get("status") or {}
        self._record_pods([Pod.of(pod) for pod in pods])
        self._log_conditions(status)
        if condition(status, "Succeeded"):
            return True
        self._check(status, max_restarts)
        return False

    def _check(self, status: Mapping[str, Any], max_restarts: int) -> None:
        now = time.monotonic()
        broken = next((pod for pod in self._pods.values() if pod.has_failed_for_good), None)
        if failed := condition(status, "Failed"):
            raise JobEnded(self._error(broken or self._worst(), failed.get("message", "")))
        if broken:
            # An operator that is restarting one task may overlook that another has failed.
            self._broken = self._broken or now
            if now - self._broken > _VERDICT_SECONDS:
                raise self._error(broken, "")
        if len(self.restarts) > max_restarts:
            last = self.restarts[-1]
            raise _too_many_restarts(last["task"], last["reason"], last["step"], max_restarts)
        if not status.get("conditions") and now - self._began > _NOTICE_SECONDS:
            raise TaskError(
                f"TFJob {self._name}: no operator has picked it up for {_NOTICE_SECONDS:.0f} s; "
                "check that Kubeflow's training operator runs and watches this namespace"
            )

    def _record_pods(self, pods: list[Pod]) -> None:
        step = self._last_checkpoint()
        for pod in pods:
            before = self._pods.get(pod.name)
            if before and before.uid != pod.uid:
                reason = f"ended with {before.why}" if before.exit_code else "lost its pod"
                self.restarts.append({"task": str(pod.task), "step": step, "reason": reason})
                logging.warning("%s %s, and is restarted", pod.task, reason)
            self._pods[pod.name] = pod
        shown = ", ".join(map(str, pods))
        if shown != self._shown:
            logging.info("TFJob %s: %s", self._name, shown or "no pods")
            self._shown = shown
        running = sum(pod.phase == "Running" for pod in pods)
        self._progress.record_tasks(f"{running}/{self._tasks} tasks")
        if step and step != self._progress.checkpoint:
            logging.info("TFJob %s: checkpoint %d", self._name, step)
            self._progress.record_event("checkpoint", step=step)

    def _log_conditions(self, status: Mapping[str, Any]) -> None:
        for condition in status.get("conditions") or ():
            if condition["status"] != "True":
                continue
            when = condition.get("lastTransitionTime", "")
            message = condition.get("message", "")
            entry = condition["type"], when, message
            if entry not in self._logged:
                self._logged.add(entry)
                logging.info("TFJob %s: %s: %s", self._name, condition["type"], message)

    def _last_checkpoint(self) -> int:
        steps = [
            path.stem.rpartition("-")[2] for path in self._directory.glob("model.ckpt-*.index")
        ]
        return max(map(int, steps), default=0)

    def _worst(self) -> Pod | None:
        return next((pod for pod in self._pods.values() if pod.phase == "Failed"), None)

    def _error(self, pod: Pod | None, message: str) -> TaskError:
        """Returns the error for a job that failed because of a pod, with its task's own message."""
        if pod is None:
            return TaskError(
                f"TFJob {self._name}: {message}; "
                f"kubectl describe -n {self._jobs.namespace} tfjob {self._name} says more"
            )
        try:
            failure = task_states.failure(self._jobs.log(pod.name, _LOG_LINES))
        except TaskError as error:  # also for a pod that has never started, which has no log
            logging.warning("TFJob %s: %s", self._name, error)
            failure = None
        reason = failure.error if failure else f"ended with {pod.why or message}"
        task_error = TaskError(
            f"{pod.task}: {reason}; its log: kubectl logs -n {self._jobs.namespace} {pod.name}"
        )
        if failure:
            task_error.__cause__ = RemoteTraceback(f"\n\nin {pod.task}:\n{failure.traceback}")
        return task_error


def _too_many_restarts(task: str, reason: str, step: int, max_restarts: int) -> TaskError:
    return TaskError(
        f"{task} {reason} at step {step}, after {max_restarts} restarts of the cluster's tasks; "
        "to allow more, raise train.cluster.max_restarts"
    )


def condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    """Returns a job's condition of this kind, such as `Failed`; None if it does not hold."""
    for entry in status.get("conditions") or ():
        if entry["type"] == kind and entry["status"] == "True":
            return entry
    return None
