"""Training with a TFJob: creates it, follows it to its end, and deletes it on abort."""

import contextlib
import functools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from absl import logging
from etils import epath

from models.distributed.supervisor import RemoteTraceback, TaskError
from models.progress.training_progress import Progress
from models.settings import fn_args as fn_args_lib
from models.settings.training_settings import Tasks
from pipeline.kubeflow.tfjob import task_states, tfjob_client, tfjob_manifest
from pipeline.kubeflow.tfjob.task_states import Pod
from pipeline.kubeflow.tfjob.tfjob_client import Away, Jobs

PROBLEM = "problem.json"
"""The file in the training's directory that tells the tasks what to train."""

_EVERY = 5.0
_VERDICT_SECONDS = 60.0
"""The time that the operator has to fail a job after one of its tasks has failed for good."""
_NOTICE_SECONDS = 120.0
"""The time that a running operator has to notice a job."""
_LOG_LINES = 500


class Launcher:
    """Launcher that trains on pods; see `models.distributed.launchers.Launcher`.

    Args:
        job: the compiled TFJob, see `tfjob_manifest.of`.
        jobs: the TFJobs among which it is created.
        every: seconds between checks of the job.
    """

    def __init__(self, job: Mapping[str, Any], jobs: Jobs, every: float = _EVERY):
        self._job = job
        self._jobs = jobs
        self._every = every
        self._ask = functools.partial(tfjob_client.patiently, every)

    def clear(self, directory: epath.Path) -> bool:
        """See `Launcher`; an identical job that is still running goes on, any other is deleted."""
        job = self._filled(directory)
        name = job["metadata"]["name"]
        where = f"TFJob {name} in {self._jobs.namespace}"
        is_logged = False
        while (existing := self._ask(self._jobs.read, name)) is not None:
            if _is_same(existing, job):
                logging.info("%s: it is there already, and goes on", where)
                return False
            if not existing["metadata"].get("deletionTimestamp"):
                logging.info("%s: there is an earlier one, which is replaced", where)
                self._ask(self._jobs.delete, name)
                continue
            if not is_logged:
                logging.info("%s: an earlier one is being deleted, which is waited for", where)
            is_logged = True
            time.sleep(self._every)
        return True

    def train(
        self, tasks: Tasks, directory: epath.Path, fn_args, progress: Progress
    ) -> list[dict[str, Any]]:
        """Trains to the end; see `Launcher`.

        Whatever aborts the wait deletes the job: a signal, too many restarts, an API that stays
        unavailable. A job that ended by itself is kept for a while, with its pods' logs.

        Raises:
            TaskError: the job failed, cannot be created, or was deleted by someone else.
        """
        directory.mkdir(parents=True, exist_ok=True)
        (directory / PROBLEM).write_text(json.dumps(fn_args_lib.to_json(fn_args)))
        job = self._filled(directory)
        with _sigterm_raises():
            try:
                uid = self._created(job)
                follower = _Follower(self._jobs, self._ask, job, uid, directory, progress)
                while not follower.has_succeeded(tasks.max_restarts):
                    time.sleep(self._every)
            except _Ended as ended:
                raise ended.error from ended.error.__cause__
            except BaseException:
                self._abandon(job["metadata"]["name"])
                raise
        return follower.restarts

    def _filled(self, directory: epath.Path) -> dict[str, Any]:
        return tfjob_manifest.filled(
            self._job, self._owner, str(directory), str(directory / PROBLEM)
        )

    @functools.cached_property
    def _owner(self) -> dict[str, str]:
        return self._ask(self._jobs.owner)

    def _created(self, job: Mapping[str, Any]) -> str:
        """Creates the job if it does not exist; returns its uid."""
        name = job["metadata"]["name"]
        created = False
        while (existing := self._ask(self._jobs.read, name)) is None:
            if created:
                raise _deleted(name)
            created = self._ask(self._jobs.create, job)
            if created:
                logging.info("TFJob %s in %s: created", name, self._jobs.namespace)
        return existing["metadata"]["uid"]

    def _abandon(self, name: str) -> None:
        try:
            self._jobs.delete(name)
            logging.info("TFJob %s: deleted", name)
        except TaskError as error:
            logging.error("TFJob %s: not deleted (%s); kubectl delete tfjob %s", name, error, name)


class _Ended(Exception):
    """The job failed by itself or was deleted by someone else, so it is not deleted here."""

    def __init__(self, error: TaskError):
        self.error = error


def _deleted(name: str) -> _Ended:
    return _Ended(TaskError(f"TFJob {name}: was deleted by somebody, or with its run"))


class _Follower:
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
            _Ended: the job has failed or was deleted.
        """
        job, pods = self._ask(self._jobs.read, self._name), self._ask(self._jobs.pods, self._name)
        if job is None or job["metadata"]["uid"] != self._uid:
            raise _deleted(self._name)
        status = job.get("status") or {}
        self._record_pods([Pod.of(pod) for pod in pods])
        self._log_conditions(status)
        if _has_condition(status, "Succeeded"):
            return True
        self._check(status, max_restarts)
        return False

    def _check(self, status: Mapping[str, Any], max_restarts: int) -> None:
        now, step = time.monotonic(), self._last_checkpoint()
        broken = next((pod for pod in self._pods.values() if pod.has_failed_for_good), None)
        if failed := _condition(status, "Failed"):
            worst = self._worst()
            if worst and not broken and not max_restarts:
                # If no restarts are allowed, the operator itself does not restart a task.
                raise _Ended(
                    _too_many_restarts(str(worst.task), f"ended with {worst.why}", step, 0)
                )
            raise _Ended(self._error(broken or worst, failed.get("message", "")))
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
                f"TFJob {self._name}: nobody has taken notice of it for {_NOTICE_SECONDS:.0f} s; "
                "see that Kubeflow's training operator runs, and looks after this namespace"
            )

    def _record_pods(self, pods: list[Pod]) -> None:
        step = self._last_checkpoint()
        for pod in pods:
            before = self._pods.get(pod.name)
            if before and before.uid != pod.uid:
                reason = f"ended with {before.why}" if before.exit_code else "lost its pod"
                self.restarts.append({"task": str(pod.task), "step": step, "reason": reason})
                logging.warning("%s %s, and is started again", pod.task, reason)
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
        except Away:
            failure = None
        reason = failure.error if failure else f"ended with {pod.why or message}"
        error = TaskError(
            f"{pod.task}: {reason}; its log: kubectl logs -n {self._jobs.namespace} {pod.name}"
        )
        if failure:
            error.__cause__ = RemoteTraceback(f"\n\nin {pod.task}:\n{failure.traceback}")
        return error


def _too_many_restarts(task: str, reason: str, step: int, max_restarts: int) -> TaskError:
    return TaskError(
        f"{task} {reason} at step {step}, after {max_restarts} restarts of the cluster's tasks; "
        "to allow more raise train.cluster.max_restarts"
    )


def _is_same(existing: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    """Returns whether an existing job is identical to this one and has not ended."""
    status, metadata = existing.get("status") or {}, existing["metadata"]
    ended = _has_condition(status, "Succeeded") or _has_condition(status, "Failed")
    digest = (metadata.get("annotations") or {}).get(tfjob_manifest.DIGEST)
    same = digest == job["metadata"]["annotations"][tfjob_manifest.DIGEST]
    return same and not ended and not metadata.get("deletionTimestamp")


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any] | None:
    for condition in status.get("conditions") or ():
        if condition["type"] == kind and condition["status"] == "True":
            return condition
    return None


def _has_condition(status: Mapping[str, Any], kind: str) -> bool:
    return _condition(status, kind) is not None


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Context manager: SIGTERM, which aborts a run, ends the wait as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(signum, frame):
        raise SystemExit(128 + signum)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
