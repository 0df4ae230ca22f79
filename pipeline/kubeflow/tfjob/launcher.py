"""Training with a TFJob: creates it, follows it to its end, and deletes it on abort."""

import contextlib
import functools
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from absl import logging
from etils import epath

from models.distributed.supervisor import TaskError
from models.progress.training_progress import Progress
from models.settings import fn_args as fn_args_lib
from models.settings.training_settings import Tasks
from pipeline.kubeflow.tfjob import job_follower, tfjob_client, tfjob_manifest
from pipeline.kubeflow.tfjob.job_follower import JobEnded
from pipeline.kubeflow.tfjob.tfjob_client import Jobs

PROBLEM = "problem.json"
"""The file in the training's directory that tells the tasks what to train."""

_EVERY = 5.0


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
                logging.info("%s: it already exists and continues", where)
                return False
            if not existing["metadata"].get("deletionTimestamp"):
                logging.info("%s: replacing an earlier one", where)
                self._ask(self._jobs.delete, name)
                continue
            if not is_logged:
                logging.info("%s: waiting for an earlier one to be deleted", where)
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
                follower = job_follower.Follower(
                    self._jobs, self._ask, job, uid, directory, progress
                )
                while not follower.has_succeeded(tasks.max_restarts):
                    time.sleep(self._every)
            except JobEnded as ended:
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
                raise job_follower.deleted(name)
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


def _is_same(existing: Mapping[str, Any], job: Mapping[str, Any]) -> bool:
    """Returns whether an existing job is identical to this one and has not ended."""
    status, metadata = existing.get("status") or {}, existing["metadata"]
    ended = any(job_follower.condition(status, kind) for kind in ("Succeeded", "Failed"))
    digest = (metadata.get("annotations") or {}).get(tfjob_manifest.DIGEST)
    same = digest == job["metadata"]["annotations"][tfjob_manifest.DIGEST]
    return same and not ended and not metadata.get("deletionTimestamp")


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
